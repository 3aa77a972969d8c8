"""What every server of ours needs: addresses, listening sockets, logs, signals, admin HTTP."""
