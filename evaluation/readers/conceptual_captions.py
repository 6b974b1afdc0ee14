"""Conceptual Captions: a TSV of captions and addresses, whose photos somebody has already downloaded.

Sharma et al.: Conceptual Captions (ACL 2018). Many addresses are dead by now, so a row whose photo is not there is
passed over; a file none of whose photos is there is an error.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from evaluation.readers.base import DataError, Example, captioned, lines, some

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
FOLDERS = ("images", ".")


def read_conceptual_captions(path: Path) -> list[Example]:
    """`caption<TAB>address` a line, perhaps with the photo's file name as a third column.

    Without one, the photo is called after the number of its row, from 0, as img2dataset calls it: `000000012.jpg`. The
    photos lie in `images` or beside the file, at any depth.
    """
    missing = "none of its photos is there; download them first, into `images` beside it (img2dataset does it)."
    return some(_examples(path), path, missing)


def _examples(path: Path) -> Iterator[Example]:
    root = next(path.parent / folder for folder in FOLDERS if (path.parent / folder).is_dir())
    photos = [file for file in sorted(root.rglob("*")) if file.suffix.lower() in SUFFIXES]
    numbered = {int(file.stem): file for file in photos if file.stem.isdecimal()}
    for number, (where, line) in enumerate(lines(path)):
        columns = line.split("\t")
        if len(columns) < 2 or not columns[0].strip():
            raise DataError(f"{where}: a caption, a tab and an address were expected; remove or mend the line.")
        photo = root / columns[2].strip() if len(columns) > 2 else numbered.get(number)
        if photo is not None and photo.is_file():
            yield captioned(where, photo, columns[:1])
