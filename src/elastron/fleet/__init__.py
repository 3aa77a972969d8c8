"""The fleet: its model, the choice of a node, scaling, schedule and simulation; and its backends.

`model`, `choice`, `queueing`, `scaling`, `schedule` and `simulation` are pure: no I/O, and time is
an argument.
"""
