#!/usr/bin/env bash
# Install the real azure-cli, whose argument parser the tests hold our `az` lines against. All of it
# is 150 packages; its parser needs those below. It has an environment of its own, for its pins
# contradict everybody's.
set -euo pipefail
cd "$(dirname "$0")/.."

parts="${ELASTRON_TEST_PARTS:-/opt/elastron-test-parts}"
python="${PYTHON:-python3}"
[ ! -x .venv/bin/python ] || python=.venv/bin/python
folder="$parts/azure-cli"
version=2.91.0

if [[ "$(cat "$folder/version" 2>/dev/null)" != "$version" ]]; then
  rm -rf "$folder"
  "$python" -m venv "$folder"
  pip=("$folder/bin/python" -m pip install --quiet --disable-pip-version-check --no-compile)
  "${pip[@]}" "azure-cli-core==$version" \
    antlr4-python3-runtime==4.13.2 azure-common==1.1.28 azure-data-tables==12.4.0 azure-mgmt-authorization==5.0.0b2 \
    azure-mgmt-compute==34.1.0 azure-mgmt-containerregistry==15.1.0b3 \
    azure-mgmt-containerregistrytasks==1.0.0b1 azure-mgmt-containerservice==41.6.0 \
    azure-mgmt-imagebuilder==1.3.0 azure-mgmt-keyvault==14.0.1 azure-mgmt-loganalytics==13.0.0b4 \
    azure-mgmt-monitor==7.0.0 azure-mgmt-msi==7.1.0 azure-mgmt-resource==24.0.0 \
    azure-mgmt-resource-deployments==1.0.0b1 azure-mgmt-resource-deploymentscripts==1.0.0b1 \
    azure-mgmt-resource-deploymentstacks==1.0.0 azure-mgmt-resource-templatespecs==1.0.0b1 \
    azure-mgmt-storage==25.0.0 azure-storage-blob==12.29.0b1 azure-storage-common==1.4.2 \
    azure-storage-file-datalake==12.24.0b1 azure-storage-file-share==12.25.0b1 \
    azure-storage-queue==12.16.0b1 colorama==0.4.6 isodate==0.7.2 msrest==0.7.1 \
    python-dateutil==4.0.0 semver==3.1.1 six==1.17.0
  "${pip[@]}" --no-deps "azure-cli==$version"
  # Compile what the tests import, once.
  env -u PYTHONDONTWRITEBYTECODE "$folder/bin/python" tests/cloud/azure/az_checker.py >/dev/null <<<'
    [["aks", "list"], ["network", "vnet", "list"], ["storage", "account", "list"],
     ["vm", "list-skus"], ["role", "assignment", "list"], ["group", "list"], ["acr", "list"],
     ["account", "list"], ["provider", "list"], ["deployment", "group", "list"],
     ["identity", "list"], ["monitor", "log-analytics", "workspace", "list"], ["lock", "list"]]'
  echo "$version" >"$folder/version"
fi
echo "azure-cli is in place"
