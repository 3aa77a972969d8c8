#!/usr/bin/env bash
# Install the real servers that the storage tests run against: PostgreSQL and nginx from Debian,
# Azurite from npm. The S3 server, moto, is a Python package and comes with the others.
# For a bare Debian 12 as root; what is there already is left alone.
set -euo pipefail

parts="${ELASTRON_TEST_PARTS:-/opt/elastron-test-parts}"
azurite_version=3.35.0  # the last that runs on Debian's Node.js

packages=()
command -v nginx >/dev/null || packages+=(nginx-light)
compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || packages+=(postgresql)
command -v npm >/dev/null || packages+=(nodejs npm)
if ((${#packages[@]})); then
  export DEBIAN_FRONTEND=noninteractive
  # The packages' own services are not wanted: tests start their own on free ports.
  policy=/usr/sbin/policy-rc.d
  if [[ ! -e $policy ]]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod +x "$policy"
    trap 'rm -f "$policy"' EXIT
  fi
  apt-get update -qq
  apt-get install -y -qq --no-install-recommends "${packages[@]}" >/dev/null
fi

if [[ ! -x $parts/node_modules/.bin/azurite-blob ]]; then
  mkdir -p "$parts"
  npm install --prefix "$parts" --no-audit --no-fund --silent "azurite@$azurite_version"
fi
echo "storage test parts are in place"
