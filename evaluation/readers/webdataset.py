"""WebDataset shards: tars in which members that share a stem are one sample, `000000.jpg` with `000000.txt`."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from evaluation.readers.base import DataError, Example, some


def read_labelled_tar(path: Path) -> list[Example]:
    """A shard whose `.txt` members are class names."""
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
    """A shard whose `.txt` members, where there are any, are captions, one a line."""
    examples = (
        Example(where, members["jpg"], tuple(_captions(where, members.get("txt", b""))))
        for where, members in _samples(path)
        if "jpg" in members
    )
    return some(examples, path, "holds no .jpg; a WebDataset shard was expected.")


def _captions(where: str, content: bytes) -> list[str]:
    return [line.strip() for line in _text(where, content).splitlines() if line.strip()]


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
