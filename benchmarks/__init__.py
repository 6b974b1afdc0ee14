"""Descry beside its peers: the same work on the same data, each peer in an environment of its own.

`python -m benchmarks` runs them and prints a table; nothing of Descry imports this folder.
"""
