"""What a folder of a library's should hold: sizes and checksums of its files, and for what it was made."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

NAME = "manifest.json"


def write_manifest(folder: Path, purpose: str) -> None:
    """Writes down what the folder holds, and its purpose. Raises `OSError`."""
    from indexer.atomic import atomic_write  # late: a question only looks at what was written

    paths = [path for path in sorted(folder.rglob("*")) if path.is_file() and path != folder / NAME]
    files = {str(path.relative_to(folder)): _state(path) for path in paths}
    with atomic_write(folder / NAME) as new:
        new.write_text(json.dumps({"purpose": purpose, "files": files}, indent=1) + "\n", encoding="utf-8")


def holds(folder: Path, purpose: str, *, whole: bool = False) -> bool:
    """Whether the folder was made for this purpose and its files have their sizes; their bytes too, if `whole`."""
    with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
        manifest = json.loads((folder / NAME).read_text(encoding="utf-8"))
        if manifest["purpose"] != purpose:
            return False
        if whole:
            return all(_state(folder / name) == state for name, state in manifest["files"].items())
        return all((folder / name).stat().st_size == size for name, (size, _) in manifest["files"].items())
    return False


def _state(path: Path) -> list[int | str]:
    import xxhash

    digest = xxhash.xxh3_128()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return [path.stat().st_size, digest.hexdigest()]
