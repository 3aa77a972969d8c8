"""Faults on purpose: a fleet whose nodes are killed, stopped, drained and cut off under load."""
