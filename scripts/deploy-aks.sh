#!/usr/bin/env bash
# Sets up a cluster on Azure: the command line of gadgetron-azure's script of this name, carried out
# by `elastron aks up`. What it adds: --plan shows what would be done, --yes does not ask; any
# further option of `elastron aks up` is handed on.
set -euo pipefail

usage() {
  cat <<EOF

A script to deploy an example AKS cluster suitable for running the Gadgetron.

Usage: $0 [options]

Options:
  --name,-n <cluster name>            Name of cluster
  --location,-l <cluster location>    Location of cluster (default: westus2)
  --system-vm-size,-s <node size>     The size of the system VMs (default: Standard_D4s_v5)
  --user-vm-size,-u <node size>       The size of the user VMs (default: Standard_D8s_v5)
  -h, --help                          Brings up this menu

Further options are those of: elastron aks up
EOF
}

name=""
options=()
while [[ $# -gt 0 ]]; do
  case $1 in
    --name | -n | --location | -l | --system-vm-size | -s | --user-vm-size | -u)
      if [[ $# -lt 2 ]]; then
        echo "ERROR: $1 needs a value" >&2
        exit 1
      fi
      [[ $1 != --name && $1 != -n ]] || name=$2
      options+=("$1" "$2")
      shift 2
      ;;
    -h | --help)
      usage
      exit
      ;;
    *)
      options+=("$1")
      shift
      ;;
  esac
done

if [[ -z $name ]]; then
  echo "You must provide a cluster name"
  usage
  exit 1
fi

if ! command -v elastron >/dev/null; then
  echo "elastron is not installed: pip install 'elastron[azure]'" >&2
  exit 1
fi

# The original asks nothing; where nobody can be asked, neither does this.
[[ -t 0 ]] || options+=(--yes)
exec elastron aks up "${options[@]}"
