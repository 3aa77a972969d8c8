"""MRD (ISMRM Raw Data) types: what travels on the wire, lies in files and flows through chains."""
