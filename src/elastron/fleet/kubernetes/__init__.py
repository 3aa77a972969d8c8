"""A fleet on Kubernetes: what the controller keeps true there, and the API through kr8s.

`upkeep` and `leadership` are pure; `cluster` talks to the API server (extra `kubernetes`).
"""
