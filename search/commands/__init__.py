"""The commands of `descry`, one file each: parse, one call, format. A new one is a file here and a row in COMMANDS.

A file is called like its command and the function in it; `import`, a word of Python's own, has an underscore behind it.
"""

from __future__ import annotations

# In the order of `descry --help`: what one does first, then what one asks, then what one looks after.
COMMANDS = (
    "index",
    "search",
    "similar",
    "describe",
    "list_",
    "explain",
    "duplicates",
    "words",
    "tag",
    "groups",
    "map",
    "status",
    "serve",
    "doctor",
    "models",
    "remove",
    "export",
    "import_",
    "reembed",
    "optimize",
    "completion",
    "help",
)
