"""Data sets: published ones and people's own folders, as examples of photos with what is said about them.

The layouts of captions are those that indexing knows (`indexer.modalities.caption_files`); here what is wrong with a
file is an error, said with file and line or entry and the remedy, before hours are spent on the set.
"""

from __future__ import annotations

import tarfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np
from PIL import Image

from indexer.encoders.base import Encoder
from indexer.errors import DescryError, SourceError
from indexer.items import Float32Array
from indexer.modalities.caption_files import PhotoFinder, read_captions
from indexer.modalities.image import SUFFIXES
from indexer.photos.opening import ALL_FORMATS
from indexer.texts import open_text, short_lines

# What a folder of captions and photos is known by; another one is of photos with texts beside them.
INDEXES = ("captions.jsonl", "metadata.jsonl", "Flickr8k.token.txt", "captions.txt", "results.csv")

CAPTIONS = (".jsonl", ".json", ".csv", ".tsv", ".txt", ".token")

# Flickr8k names the photos of its splits in files of their own.
SPLIT_FILES = {
    "train": "Flickr_8k.trainImages.txt",
    "val": "Flickr_8k.devImages.txt",
    "test": "Flickr_8k.testImages.txt",
}

# "restval" are COCO's validation photos that are in neither val nor test; everybody trains on them.
SPLITS = {"restval": "train"}


class DataError(DescryError):
    """A data set that cannot be used as it is; the message names the file and the line."""


@dataclass(frozen=True, slots=True)
class Example:
    """One photo and what is said about it.

    `where` names the file and line or member it came from; `photo` is its path, or its encoded bytes where it
    lives in an archive; `captions` are sentences, `label` a class name or "", `split` "train", "val", "test" or "".
    """

    where: str
    photo: Path | bytes
    captions: tuple[str, ...] = ()
    label: str = ""
    split: str = ""

    def image(self) -> Image.Image:
        """The photo, opened but not yet decoded."""
        content = self.photo if isinstance(self.photo, bytes) else self.photo.read_bytes()
        return Image.open(BytesIO(content), formats=ALL_FORMATS)


def held_out(examples: Iterable[Example], *, every: int = 10) -> tuple[list[Example], list[Example]]:
    """Examples to train on and examples never trained on: of each ten in the order of the file, the first is held out.

    A rule, not a draw, so that training and evaluation agree without sharing a list.
    """
    everything = list(examples)
    kept = [example for position, example in enumerate(everything) if position % every]
    return kept, everything[::every]


def embed_photos(encoder: Encoder, examples: Sequence[Example], *, batch: int = 64) -> Float32Array:
    """Unit rows `[n, dim]` of the photos of examples, a batch in memory at a time."""
    starts = range(0, len(examples), batch)
    return np.concatenate(
        [encoder.embed("image", [example.image() for example in examples[at : at + batch]]) for at in starts]
    )


def read_captions_file(path: Path) -> list[Example]:
    """The photos of a file of captions in any layout, each with all its captions. Raises `DataError`."""

    def refuse(where: str, problem: str) -> None:
        raise DataError(f"{path}{where}: {problem}; remove or mend it.")

    photos = PhotoFinder(path)
    splits = _splits(path)
    examples: dict[str, Example] = {}
    try:
        for where, name, captions, told in read_captions(path, refuse):
            if name is None and where.startswith(":annotations"):
                continue  # of a photo that a part of COCO leaves out
            if name is None:
                raise DataError(f"{path}{where}: the photo is missing; say which one in the field 'image'.")
            if known := examples.get(name):
                examples[name] = replace(known, captions=(*known.captions, *captions))
                continue
            photo = photos.find(name)
            if photo is None:
                expected = next((one for one in photos.folders[1:] if one.is_dir()), path.parent) / name
                raise DataError(f"{path}{where}: the photo {expected} is missing; download it or remove the line.")
            split = splits.get(name) or SPLITS.get(told, told) or _split_of_coco(path)
            examples[name] = Example(f"{path}{where}", photo, captions, split=split)
    except (OSError, SourceError) as error:
        raise DataError(f"{path}: cannot be read ({error}); is it the file that was meant?") from error
    return _some(examples.values(), path, "holds no captions of photos.")


def _splits(path: Path) -> dict[str, str]:
    files = {split: path.parent / name for split, name in SPLIT_FILES.items()}
    return {line: split for split, file in files.items() if file.is_file() for _, line in _lines(file)}


def _split_of_coco(path: Path) -> str:
    name = path.stem.removeprefix("captions_")
    return next((kind for kind in ("train", "val", "test") if path.stem != name and name.startswith(kind)), "")


def read_conceptual_captions(path: Path) -> list[Example]:
    """`caption<TAB>address` a line, perhaps with the photo's file name as a third column.

    Sharma et al.: Conceptual Captions (ACL 2018). Without names, a photo is called after the number of its row, from 0,
    as img2dataset calls it: `000000012.jpg`. The photos lie in `images` or beside the file, at any depth; many
    addresses are dead by now, so a row whose photo is not there is passed over.
    """
    root = path.parent / "images" if (path.parent / "images").is_dir() else path.parent
    numbered = {int(file.stem): file for file in _photos(root) if file.stem.isdecimal()}
    examples = []
    for number, line in _lines(path):
        caption, _, rest = line.partition("\t")
        if not caption.strip() or not rest.strip():
            raise DataError(f"{path}:{number}: a caption, a tab and an address were expected; remove or mend the line.")
        name = rest.partition("\t")[2].strip()
        photo = root / name if name else numbered.get(number - 1)
        if photo is not None and photo.is_file():
            examples.append(Example(f"{path}:{number}", photo, (caption.strip(),)))
    missing = "none of its photos is there; download them first, into `images` beside it (img2dataset does it)."
    return _some(examples, path, missing)


def read_text_beside(path: Path) -> list[Example]:
    """The photos below a folder that have a `.txt` beside them, a caption a line; others are passed over."""
    beside = ((photo, photo.with_suffix(".txt")) for photo in _photos(path))
    examples = []
    for photo, text in ((photo, text) for photo, text in beside if text.is_file()):
        captions = tuple(line for _, line in _lines(text))
        if not captions:
            raise DataError(f"{text}:1: an empty caption; say what is on {photo.name}, or remove the file.")
        examples.append(Example(str(text), photo, captions))
    return _some(examples, path, "no photo in it has a .txt of the same name beside it; write captions there.")


def read_labelled_tar(path: Path) -> list[Example]:
    """A WebDataset shard (members that share a stem are one sample) whose `.txt` members are class names."""
    examples = [
        Example(where, members["jpg"], label=_text(where, members["txt"]).strip())
        for where, members in _samples(path)
        if "jpg" in members and "txt" in members
    ]
    if unnamed := next((example for example in examples if not example.label), None):
        raise DataError(f"{unnamed.where}: an empty label; name the class or remove the sample.")
    if len({example.label for example in examples}) < 2:
        raise DataError(f"{path}: fewer than two classes; there is nothing to tell apart.")
    return examples


def read_captioned_tar(path: Path) -> list[Example]:
    """A WebDataset shard whose `.txt` members, where there are any, are captions, one a line."""
    examples = []
    for where, members in _samples(path):
        if "jpg" in members:
            told = (line.strip() for line in _text(where, members.get("txt", b"")).splitlines())
            examples.append(Example(where, members["jpg"], tuple(line for line in told if line)))
    return _some(examples, path, "holds no .jpg; a WebDataset shard was expected.")


class Reader(NamedTuple):
    """A format. `is_it` says whether a path that exists looks like one; None where only its name can say it."""

    read: Callable[[Path], list[Example]]
    is_it: Callable[[Path], bool] | None = None

    def __call__(self, path: Path) -> list[Example]:
        """The examples of the file or folder. Raises `DataError`."""
        return self.read(path)


def _of_suffix(*suffixes: str) -> Callable[[Path], bool]:
    return lambda path: path.suffix.lower() in suffixes and path.is_file()


def _is_conceptual(path: Path) -> bool:
    if path.suffix.lower() != ".tsv" or not path.is_file():
        return False
    return "\thttp" in next((line for _, line in _lines(path)), "")


# The first that recognises a path reads it. Captions have a name for each data set: settings of training name them.
READERS: dict[str, Reader] = {
    "conceptual_captions": Reader(read_conceptual_captions, _is_conceptual),
    "captions_jsonl": Reader(read_captions_file, _of_suffix(*CAPTIONS)),
    "flickr8k": Reader(read_captions_file),
    "karpathy": Reader(read_captions_file),
    "visual_genome": Reader(read_captions_file),
    "coco": Reader(read_captions_file),
    "captioned_tar": Reader(read_captioned_tar, _of_suffix(".tar")),
    "labelled_tar": Reader(read_labelled_tar),  # a tar of captions looks the same
    "text_beside": Reader(read_text_beside, Path.is_dir),
}


def read_captioned(path: Path) -> list[Example]:
    """The captioned photos of a file or folder of any format, recognised by its name and first lines.

    Raises `DataError` if it is none of them, or has a photo without a caption.
    """
    if not path.exists():
        raise DataError(f"{path}: missing; name a file or folder of captioned photos.")
    path = next((path / name for name in INDEXES if (path / name).is_file()), path)
    reader = next((reader for reader in READERS.values() if reader.is_it and reader.is_it(path)), None)
    if reader is None:
        raise DataError(f"{path}: none of the formats {', '.join(READERS)}; convert it into one of them.")
    examples = reader(path)
    if bare := next((example for example in examples if not example.captions), None):
        raise DataError(f"{bare.where}: the photo has no caption; write one or remove it.")
    return examples


def _photos(folder: Path) -> list[Path]:
    return [file for file in sorted(folder.rglob("*")) if file.suffix.lower() in SUFFIXES]


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines of a text that say something, each with its number. Raises `DataError`."""
    try:
        with open_text(path) as text:
            for number, line in short_lines(text):
                if line.strip():
                    yield number, line.strip("\n") if "\t" in line else line.strip()
    except (OSError, SourceError) as error:
        raise DataError(f"{path}: cannot be read ({error}); is it the file that was meant?") from error


def _some(examples: Iterable[Example], where: Path, missing: str) -> list[Example]:
    """The examples, of which there is at least one. Raises `DataError`, saying what is missing."""
    found = list(examples)
    if not found:
        raise DataError(f"{where}: {missing}")
    return found


def _text(where: str, content: bytes) -> str:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"{where}: its .txt is no UTF-8 text; mend or remove it.") from error


def _samples(path: Path) -> Iterator[tuple[str, dict[str, bytes]]]:
    """The samples of a shard: members that share a stem, by suffix, in the order of the file."""
    stem = ""
    members: dict[str, bytes] = {}
    try:
        with tarfile.open(path) as tar:
            for member in tar:
                if not member.isfile():
                    continue
                this, suffix = _split(member.name)
                if members and this != stem:
                    yield f"{path}:{stem}", members
                    members = {}
                stem = this
                content = tar.extractfile(member)
                members[suffix] = content.read() if content else b""
    except (OSError, tarfile.TarError) as error:
        reason = str(error).partition("\n")[0].rstrip(": -")
        raise DataError(f"{path}: cannot be read as a tar ({reason}); fetch it again.") from error
    if members:
        yield f"{path}:{stem}", members


def _split(name: str) -> tuple[str, str]:
    """A member's stem, folders included, and what follows the first dot of its own name."""
    stem, _, suffix = PurePosixPath(name).name.partition(".")
    return str(PurePosixPath(name).with_name(stem)) if stem else name, suffix.lower().replace("jpeg", "jpg")
