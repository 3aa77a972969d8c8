"""Images for other programs: pictures, montages, NIfTI and DICOM.

Geometry lies in `geometry`, the choice of grey values in `window`; both are shared by all
formats. `nifti` needs the extra `elastron[nifti]`, `dicom` needs `elastron[dicom]`.
"""
