#!/bin/sh
# Take out of a virtual environment what a running program never reads.
# usage: slim.sh FOLDER
set -eu
site=$(echo "$1"/lib/python3*/site-packages)

"$1/bin/python" -m pip uninstall --yes --quiet setuptools 2>/dev/null || true
"$1/bin/python" -m pip uninstall --yes --quiet pip

# Tests of the packages.
find "$site" -depth -type d \( -name tests -o -name test \) \
  -not -path '*/elastron/*' -exec rm -r {} +
# Sources and headers of what is compiled, and what only a type checker reads.
find "$site" -type f \( -name '*.c' -o -name '*.cpp' -o -name '*.h' -o -name '*.hpp' -o -name '*.pyx' \
  -o -name '*.pxd' -o -name '*.pyi' -o -name '*.a' \) -not -path '*/cupy*/*' -delete
# Debugging symbols. Not of bundled libraries (*.libs): a repaired one may not survive it.
find "$site" -type f -name '*.so' -not -path '*.libs/*' -not -path '*/cupy*/*' \
  -exec strip --strip-unneeded {} +
find "$site" -type d -name __pycache__ -prune -exec rm -r {} +
