#!/usr/bin/env bash
# create-stunnel-secrets.sh [SECRET]: pre-shared keys for stunnel, into the cluster.
#
# Ten keys, client1 to client10, in stunnel.secrets of this folder; an existing file is kept as it
# is. Then the secret SECRET (stunnel) is created or brought up to date. Without kubectl its manifest
# is left in SECRET-secret.yaml. ELASTRON names another elastron command.
set -euo pipefail
umask 077

secret=${1:-stunnel}
elastron=${ELASTRON:-elastron}
keys=stunnel.secrets

if [ ! -e "$keys" ] && command -v kubectl >/dev/null && kubectl get secret "$secret" >/dev/null 2>&1; then
  echo "The cluster has a secret $secret, and $keys is not here: new keys would lock every site out." >&2
  echo "Fetch it: kubectl get secret $secret -o 'jsonpath={.data.stunnel\\.secrets}' | base64 -d >$keys" >&2
  exit 1
fi

$elastron access psk create --file "$keys"
if command -v kubectl >/dev/null; then
  $elastron access psk secret --file "$keys" --name "$secret" | kubectl apply -f -
else
  $elastron access psk secret --file "$keys" --name "$secret" >"$secret-secret.yaml"
  echo "No kubectl here. Where there is: kubectl apply -f $secret-secret.yaml" >&2
fi
