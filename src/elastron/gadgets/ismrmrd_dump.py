"""Write the incoming data to an ISMRMRD file, and pass them on."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator

from elastron.errors import ConfigError
from elastron.gadgets.base import Context, Gadget, Item, Properties
from elastron.gadgets.dump_folder import (
    DUMP_FOLDER,
    dump_folder,
    folder_below,
    free_paths,
    safe_name,
)
from elastron.mrd.acquisition import AcquisitionBatch
from elastron.mrd.dataset import Dataset
from elastron.mrd.header import serialize_header
from elastron.mrd.waveform import Waveform


class IsmrmrdDumpProperties(Properties):
    """Properties of `IsmrmrdDumpGadget`.

    Attributes:
        folder: below the node's dump folder, or that folder; another one is not used.
        file_prefix: begins the file's name; empty for the protocol's name.
        save_xml_header_only: leave out the data.
        pass_waveform_downstream: hand waveforms on, too.
        ip_no_data_saving: without effect; a node that shall not save gets no dump folder.
    """

    folder: str = ""
    file_prefix: str = "ISMRMRD_DUMP"
    save_xml_header_only: bool = False
    pass_waveform_downstream: bool = True
    ip_no_data_saving: str = ""


class IsmrmrdDumpGadget(Gadget[IsmrmrdDumpProperties]):
    """Writes what comes to `<prefix>_<measurement>_<date>-<time>.h5`, group `dataset`.

    Only the node's operator says where: in the setting `dump_folder`. The original takes any folder
    from the config, so from the network, and writes to /tmp/gadgetron_data by default.

    The measurement's id may be made of device, patient, study and measurement
    (`device_subject_session_measurement`); the file's name holds its last part alone.
    """

    properties_type = IsmrmrdDumpProperties

    def __init__(self, properties: IsmrmrdDumpProperties, context: Context) -> None:
        super().__init__(properties, context)
        root = dump_folder(context)
        if root is None:
            raise ConfigError(
                f"This node saves no data. Its operator can set {DUMP_FOLDER!r} to a folder."
            )
        folder = folder_below(root, properties.folder)
        if folder is None:
            context.log.warning("dump folder outside the node's is not used", used=str(root))
            folder = root
        self._folder = folder

    def __call__(self, items: Iterable[Item]) -> Iterator[Item]:
        """Write and pass on."""
        with self._create() as dataset:
            dataset.write_header(serialize_header(self.context.header))
            for item in items:
                is_waveform = isinstance(item, Waveform)
                if not self.properties.save_xml_header_only and (
                    is_waveform or isinstance(item, AcquisitionBatch)
                ):
                    dataset.append(item)
                if not is_waveform or self.properties.pass_waveform_downstream:
                    yield item

    def _create(self) -> Dataset:
        self._folder.mkdir(parents=True, exist_ok=True)
        for path in free_paths(self._folder, self._stem(), ".h5"):
            try:
                path.touch(exist_ok=False)  # ours from now on, whoever else dumps at the same time
            except FileExistsError:
                continue
            return Dataset(path, "w")
        raise AssertionError("there is always another name")

    def _stem(self) -> str:
        header = self.context.header
        measurement, study = header.measurementInformation, header.studyInformation
        prefix, identity = self.properties.file_prefix, ""
        if measurement is not None:
            prefix = prefix or measurement.protocolName or ""
            identity = measurement.measurementID or ""
            if identity.count("_") == 3:
                identity = identity.rpartition("_")[2]
        if study is not None and study.studyDate and study.studyTime:
            date, clock = str(study.studyDate), str(study.studyTime)
            moment = f"{date.replace('-', '')}-{clock.replace(':', '')}"
        else:
            moment = time.strftime("%Y%m%d-%H%M%S")
        prefix = prefix or IsmrmrdDumpProperties().file_prefix
        return "_".join(safe_name(part) for part in (prefix, identity, moment) if part)
