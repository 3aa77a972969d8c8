"""The fleet on one machine: processes as nodes, their records in a folder, and their keeper.

`state` and `folder` say what runs; `backend` starts, watches and stops it.
"""
