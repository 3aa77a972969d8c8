"""Ways in for clients outside: pre-shared keys, SSH keys, and tunnels that use them."""
