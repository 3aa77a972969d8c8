"""The storage API seen from a client: keys, port, clients."""
