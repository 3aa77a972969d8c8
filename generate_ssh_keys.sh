#!/usr/bin/env bash
# generate_ssh_keys.sh [rsa] [ed25519] [ecdsa]: host keys of the SSH jump server, into the cluster.
#
# The keys (all three kinds unless some are named) are made in the folder ssh-server-keys; existing
# ones are kept. Then the secret ssh-server-keys is created or brought up to date. Without kubectl
# its manifest is left in ssh-server-keys-secret.yaml. ELASTRON names another elastron command.
set -euo pipefail
umask 077

secret=ssh-server-keys
elastron=${ELASTRON:-elastron}

if [ ! -d "$secret" ] && command -v kubectl >/dev/null && kubectl get secret "$secret" >/dev/null 2>&1; then
  echo "The cluster has a secret $secret, and the folder $secret is not here." >&2
  echo "New host keys look to every client like an attack. To replace them all the same:" >&2
  echo "mkdir $secret, and run this again." >&2
  exit 1
fi

mkdir -p "$secret"
if command -v kubectl >/dev/null; then
  $elastron access ssh-keys "$@" --folder "$secret" --secret "$secret" | kubectl apply -f -
else
  $elastron access ssh-keys "$@" --folder "$secret" --secret "$secret" >"$secret-secret.yaml"
  echo "No kubectl here. Where there is: kubectl apply -f $secret-secret.yaml" >&2
fi
