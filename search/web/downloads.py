"""Photos that were selected, as one zip file that is sent while it is made: nothing of it is kept."""

from __future__ import annotations

import io
import zipfile
from collections import Counter
from collections.abc import Iterator, Sequence

from indexer.errors import reason_of
from indexer.items import Item

# Bytes that are read of a file at once.
PIECE = 1 << 20

# What the list of the files that were not there is called.
MISSING = "not there.txt"


class _Pipe(io.RawIOBase):
    """Holds what was written until it is taken. It cannot be rewound, so that sizes stand behind the files."""

    def __init__(self) -> None:
        super().__init__()
        self._pieces: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, piece: object) -> int:
        self._pieces.append(bytes(piece))  # type: ignore[call-overload]
        return len(self._pieces[-1])

    def taken(self) -> bytes:
        """What was written since it was taken last."""
        pieces, self._pieces = self._pieces, []
        return b"".join(pieces)


def zipped(items: Sequence[Item]) -> Iterator[bytes]:
    """A zip file of the items' files, piece by piece, as they are; what cannot be read is named in a list."""
    pipe, missing = _Pipe(), list[str]()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_STORED) as archive:
        for item, name in zip(items, _names(items), strict=True):
            try:
                with item.path.open("rb") as source:
                    info = zipfile.ZipInfo.from_file(item.path, name, strict_timestamps=False)
                    with archive.open(info, "w") as target:
                        while piece := source.read(PIECE):
                            target.write(piece)
                            yield pipe.taken()
            except OSError as error:
                missing.append(f"{item.path}: {reason_of(error)}")
        if missing:
            archive.writestr(MISSING, "".join(f"{line}\n" for line in missing))
    yield pipe.taken()


def _names(items: Sequence[Item]) -> Iterator[str]:
    """A name of its own for each item's file, whatever a system makes of upper and lower case."""
    seen: Counter[str] = Counter()
    for item in items:
        name = item.path.name
        while seen[name.casefold()]:
            seen[item.path.name.casefold()] += 1
            name = f"{item.path.stem} ({seen[item.path.name.casefold()]}){item.path.suffix}"
        seen[name.casefold()] += 1
        yield name
