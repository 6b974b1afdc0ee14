"""Flickr8k as its authors give it: `Flickr8k.token.txt`, and a file of photo names for each split."""

from __future__ import annotations

from pathlib import Path

from evaluation.readers.base import DataError, Example, captioned, find, lines, some

TOKENS = "Flickr8k.token.txt"

# The folders in which the photos are met: the authors', and those of the copies that go round.
FOLDERS = ("Flicker8k_Dataset", "Flickr8k_Dataset", "Images", "images", ".")

SPLITS = {"train": "Flickr_8k.trainImages.txt", "val": "Flickr_8k.devImages.txt", "test": "Flickr_8k.testImages.txt"}


def read_flickr8k(path: Path) -> list[Example]:
    """The token file, `photo.jpg#0<TAB>caption` a line, with the split files beside it where they are there."""
    captions: dict[str, tuple[str, list[str]]] = {}
    for where, line in lines(path):
        name, _, caption = line.partition("\t")
        photo, _, number = name.partition("#")
        if not number.isdigit() or not caption.strip():
            raise DataError(f"{where}: a caption was expected, as in `photo.jpg#0<TAB>A dog runs .`; mend the line.")
        captions.setdefault(photo, (where, []))[1].append(caption)
    splits = _splits(path.parent)
    folders = [path.parent / folder for folder in FOLDERS]
    folders.sort(key=lambda folder: not folder.is_dir())  # where none has a photo, the message names one that exists
    examples = (
        captioned(where, find(photo, folders), said, splits.get(photo, "")) for photo, (where, said) in captions.items()
    )
    return some(examples, path, "holds no caption; it should be Flickr8k's token file.")


def _splits(folder: Path) -> dict[str, str]:
    files = {split: folder / name for split, name in SPLITS.items() if (folder / name).is_file()}
    return {line.strip(): split for split, file in files.items() for _, line in lines(file)}
