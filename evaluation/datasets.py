"""Readers of published data sets, each into the same `Example`: a photo, its sentences, its label.

What is wrong with a file is said here, with file and line, before hours are spent on it.
"""

from __future__ import annotations

import json
import tarfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from PIL import Image

from indexer.errors import DescryError


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

    def picture(self) -> Image.Image:
        """The photo, opened but not yet decoded."""
        return Image.open(BytesIO(self.photo if isinstance(self.photo, bytes) else self.photo.read_bytes()))


def read_captions_jsonl(path: Path) -> list[Example]:
    """A JSON Lines file of `{"image": relative path, "captions": [...], "split": ...}`, photos beside it."""
    examples = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip():
            continue
        where = f"{path}:{number}"
        row = _json_object(line, where)
        examples.append(_captioned(where, path.parent / _field(row, "image", where), row))
    return examples


def _captioned(where: str, photo: Path, row: Mapping[str, object]) -> Example:
    captions = row.get("captions", [row.get("caption", "")])
    if not isinstance(captions, list) or not all(isinstance(text, str) and text.strip() for text in captions):
        raise DataError(f"{where}: an empty caption, or one that is no text; remove or mend it.")
    if not photo.is_file():
        raise DataError(f"{where}: the photo {photo} is missing; download it or remove the line.")
    return Example(where, photo, tuple(captions), split=str(row.get("split", "")))


def _json_object(line: str, where: str) -> dict[str, object]:
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise DataError(f"{where}: not JSON ({error.msg}).") from error
    if not isinstance(row, dict):
        raise DataError(f"{where}: a JSON object was expected.")
    return row


def _field(row: Mapping[str, object], name: str, where: str) -> str:
    value = row.get(name)
    if not isinstance(value, str) or not value:
        raise DataError(f"{where}: the field {name!r} is missing.")
    return value


def read_labelled_tar(path: Path) -> list[Example]:
    """A WebDataset shard whose `.txt` members are class names."""
    examples = [
        Example(where, members["jpg"], label=members["txt"].decode("utf-8").strip())
        for where, members in _samples(path)
        if "jpg" in members and "txt" in members
    ]
    if len({example.label for example in examples}) < 2:
        raise DataError(f"{path}: fewer than two classes; there is nothing to tell apart.")
    return examples


def read_captioned_tar(path: Path) -> list[Example]:
    """A WebDataset shard whose `.txt` members, where there are any, are captions, one a line."""
    return [
        Example(where, members["jpg"], tuple(_lines(members.get("txt", b""))))
        for where, members in _samples(path)
        if "jpg" in members
    ]


def _lines(content: bytes) -> list[str]:
    return [line.strip() for line in content.decode("utf-8").splitlines() if line.strip()]


def _samples(path: Path) -> Iterator[tuple[str, dict[str, bytes]]]:
    """The samples of a WebDataset shard: members that share a stem, by suffix, in the order of the file."""
    stem = ""
    members: dict[str, bytes] = {}
    with _open_tar(path) as tar:
        for member in tar:
            if not member.isfile():
                continue
            this, _, suffix = member.name.partition(".")
            if members and this != stem:
                yield f"{path}:{stem}", members
                members = {}
            stem = this
            content = tar.extractfile(member)
            members[suffix.lower().replace("jpeg", "jpg")] = content.read() if content else b""
    if members:
        yield f"{path}:{stem}", members


def _open_tar(path: Path) -> tarfile.TarFile:
    try:
        return tarfile.open(path)
    except (OSError, tarfile.TarError) as error:
        raise DataError(f"{path}: cannot be read as a tar ({error}).") from error


def held_out(examples: Iterable[Example], *, every: int = 10) -> tuple[list[Example], list[Example]]:
    """Examples to train on and examples never trained on: of each ten in the order of the file, the first is held out.

    A rule, not a draw, so that training and evaluation agree without sharing a list.
    """
    everything = list(examples)
    kept = [example for position, example in enumerate(everything) if position % every]
    return kept, everything[::every]


READERS: dict[str, Callable[[Path], list[Example]]] = {
    "captions_jsonl": read_captions_jsonl,
    "captioned_tar": read_captioned_tar,
    "labelled_tar": read_labelled_tar,
}
