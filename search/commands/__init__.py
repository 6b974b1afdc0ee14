"""The commands of `descry`: parse, one call, format. A new one is a function in a file here and a row in `COMMANDS`."""

from __future__ import annotations

# The file of each command, in the order of `descry --help`: what one does first, then what one asks, then what one
# looks after.
COMMANDS = {
    "index": "index",
    "ocr": "index",
    "caption": "index",
    "watch": "index",
    "search": "search",
    "similar": "search",
    "describe": "search",
    "list": "search",
    "explain": "organise",
    "duplicates": "organise",
    "words": "organise",
    "tag": "organise",
    "groups": "organise",
    "map": "organise",
    "status": "maintenance",
    "serve": "serve",
    "mcp": "serve",
    "doctor": "maintenance",
    "models": "maintenance",
    "remove": "maintenance",
    "export": "maintenance",
    "import": "maintenance",
    "reembed": "maintenance",
    "optimize": "optimize",
    "completion": "help",
    "help": "help",
}
