"""The commands of `descry`, one file each: parse, one call, format. A new one is a file here and a row in COMMANDS."""

from __future__ import annotations

# In the order of `descry --help`: what one does first, then what one asks, then what one looks after.
COMMANDS = (
    "index",
    "search",
    "similar",
    "describe",
    "status",
    "models",
    "remove",
)
