"""The layout in which clip-retrieval writes the embeddings of what img2dataset fetched, and others after it:

    FOLDER/img_emb/img_emb_0.npy        vectors of photos, [n, dim]
    FOLDER/text_emb/text_emb_0.npy      vectors of their captions, [n, dim]; may be missing
    FOLDER/metadata/metadata_0.parquet  n rows with `image_path`, and it may be `caption`, `url`, `width` ...

Which encoder made them is not in there.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from indexer.errors import PathError
from indexer.items import Item
from indexer.storage.files import as_stored
from indexer.transfer.batches import BATCH, Batch, Entry, Origin, is_dimension, is_sound, path_of, readable
from indexer.transfer.parquet import WHAT, opened

# Facts of a photo, and the columns that may tell them, the best first; img2dataset's `width` is of its resized copy.
FACTS = {
    "width": ("original_width", "width"),
    "height": ("original_height", "height"),
    "url": ("url",),
    "caption": ("caption",),
}

# Makes an entry of a row, whose number is counted from 1, or None.
Maker = Callable[["Shard", int, Mapping[str, Any]], Entry | None]


@dataclass(frozen=True, slots=True)
class Shard:
    """One number's files: `photos` and `captions` are vectors, `[n, dim]`, of the rows of `table`, still on disk."""

    table: Any
    path: Path
    photos: npt.NDArray[Any] | None
    captions: npt.NDArray[Any] | None


class ClipRetrieval:
    """Such a folder, opened; relative paths of photos begin at `photos`. Raises `PathError` for another folder."""

    def __init__(self, folder: Path, photos: Path) -> None:
        self.path = folder
        self.origin: Origin | None = None
        self._photos = photos
        tables = filter(_number, (folder / "metadata").glob("*.parquet"))
        self._shards = [_shard(folder, path) for path in sorted(tables, key=lambda path: int(_number(path)))]
        if not self._shards:
            raise PathError(f"{folder} is not in clip-retrieval's layout: it has no metadata/metadata_0.parquet.")
        dimensions = {array.shape[1] for array in self._arrays()}
        if len(dimensions) != 1:
            raise PathError(f"The vectors in {folder} have different dimensions: {sorted(dimensions)}.")
        (self.dimension,) = dimensions

    def __len__(self) -> int:
        return sum(map(len, self._arrays()))

    def batches(self) -> Generator[Batch, None, None]:
        """Shard by shard, the photos first."""
        for shard in self._shards:
            kinds = (("img_emb", self._photo, shard.photos), ("text_emb", self._caption, shard.captions))
            for kind, make, array in kinds:
                if array is not None:
                    yield from _batches(shard, kind, make, array)

    def _arrays(self) -> Iterator[npt.NDArray[Any]]:
        for shard in self._shards:
            yield from (array for array in (shard.photos, shard.captions) if array is not None)

    def _photo(self, shard: Shard, number: int, row: Mapping[str, Any]) -> Entry:  # noqa: ARG002  like `_caption`
        return Entry(Item("image", self._place(row), facts=facts_of(row)))

    def _caption(self, shard: Shard, number: int, row: Mapping[str, Any]) -> Entry | None:
        """A caption belongs to the table that it stands in, as one of a `captions.jsonl` does."""
        caption = _fact(row.get("caption"))
        if not isinstance(caption, str) or not is_sound("caption", caption):
            return None
        status = shard.path.stat()
        item = Item("text", as_stored(shard.path), f"c{number}", caption, {"photo": str(self._place(row))})
        return Entry(item, status.st_size, status.st_mtime_ns)

    def _place(self, row: Mapping[str, Any]) -> Path:
        return path_of(str(as_stored(self._photos / row["image_path"])))


def _shard(folder: Path, path: Path) -> Shard:
    """Raises `PathError` if its files do not fit together."""
    with readable(path, WHAT):
        table = opened(path)
    number = _number(path)
    photos, captions = (_array(folder / kind / f"{kind}_{number}.npy") for kind in ("img_emb", "text_emb"))
    for kind, array in (("img_emb", photos), ("text_emb", captions)):
        if array is not None and len(array) != table.metadata.num_rows:
            raise PathError(f"{path} has {table.metadata.num_rows} rows, {kind}_{number}.npy {len(array)}.")
    if photos is None and captions is None:
        raise PathError(f"There are no vectors to {path}: {folder / 'img_emb' / f'img_emb_{number}.npy'} is not there.")
    _check_paths(path, table)
    return Shard(table, path, photos, captions)


def facts_of(row: Mapping[str, Any]) -> dict[str, Any]:
    """What a row of img2dataset's tells of its photo."""
    facts = {name: next(filter(None, (_fact(row.get(key)) for key in keys)), None) for name, keys in FACTS.items()}
    return {name: fact for name, fact in facts.items() if fact and is_sound(name, fact)}


def _fact(value: Any) -> str | int | None:
    """A cell of the table; None for what says nothing, as the NaN that pandas puts where a number is missing."""
    if isinstance(value, str):
        return value.strip() or None
    return int(value) if isinstance(value, int | float) and math.isfinite(value) else None


def _check_paths(path: Path, table: Any) -> None:
    names = table.schema_arrow.names
    if "image_path" not in names:
        raise PathError(f"{path} does not name its photos: it has no column image_path, but {', '.join(names)}.")
    row = 1
    with readable(path, WHAT):
        for batch in table.iter_batches(BATCH, columns=["image_path"]):
            for place in batch.column(0).to_pylist():
                if not isinstance(place, str) or not place or not is_sound("photo", place):
                    raise PathError(f"{path}, row {row}: {place!r:.80} is no path of a photo.")
                row += 1


def _array(path: Path) -> npt.NDArray[Any] | None:
    """The vectors of a file, which stay on disk; None if it is not there."""
    if not path.exists():
        return None
    with readable(path, "cannot be read as vectors"):
        array: npt.NDArray[Any] = np.lib.format.open_memmap(path, mode="r")
    if array.ndim != 2 or array.dtype.kind != "f" or not is_dimension(array.shape[1]):
        raise PathError(f"{path} holds no vectors: it is {array.dtype} of the shape {array.shape}, not float [n, dim].")
    return array


def _batches(shard: Shard, kind: str, make: Maker, array: npt.NDArray[Any]) -> Iterator[Batch]:
    wanted = {"image_path", "caption", *(key for keys in FACTS.values() for key in keys)}
    columns = [name for name in shard.table.schema_arrow.names if name in wanted]
    name, start = f"{kind}_{_number(shard.path)}.npy", 0
    with readable(shard.path, WHAT):
        for batch in shard.table.iter_batches(BATCH, columns=columns):
            entries = [make(shard, number, row) for number, row in enumerate(batch.to_pylist(), start=start + 1)]
            with np.errstate(over="ignore"):  # what is too large for float32 is refused as infinite
                rows = np.asarray(array[start : start + len(entries)], np.float32)
            there = [place for place, entry in enumerate(entries) if entry is not None]
            numbers = [start + 1 + place for place in there]
            yield Batch([entry for entry in entries if entry is not None], rows[there], name, numbers)
            start += len(entries)


def _number(path: Path) -> str:
    match = re.search(r"_(\d+)$", path.stem)
    return match[1] if match else ""
