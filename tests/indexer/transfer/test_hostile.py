"""Embeddings that somebody made to break a library: refused with a reason, before anything is stored."""

from __future__ import annotations

import io
import json
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from painting import paint

from indexer import Encoder, Library, index_sources
from indexer.errors import DescryError, PathError
from indexer.transfer.batches import LONGEST
from indexer.transfer.exporting import export
from indexer.transfer.importing import encoder_of, import_into, open_embeddings

Columns = dict[str, Any]


@pytest.fixture
def exported(library: Library, encoder: Encoder, photos: Path, tmp_path: Path) -> Columns:
    """The columns of a sound export of two photos and two captions, which every test spoils in its own way."""
    for color in ("red", "blue"):
        paint(photos / f"{color}.png", color)
    (photos / "red.txt").write_text("a red one\norange\n")
    index_sources(library, [photos], encoder)
    export(library, tmp_path / "sound.npz")
    with np.load(tmp_path / "sound.npz") as arrays:
        return {name: arrays[name] for name in arrays.files}


def as_npz(columns: Columns, folder: Path) -> Path:
    with (folder / "spoilt.npz").open("wb") as file:
        np.savez_compressed(file, **columns)
    return folder / "spoilt.npz"


def as_parquet(columns: Columns, folder: Path) -> Path:
    told = {name: str(columns[name]) for name in ("encoder", "checksum")}
    vector = np.asarray(columns["vector"], np.float32)
    table = {name: pa.array(column.tolist()) for name, column in columns.items() if name not in (*told, "vector")}
    table["vector"] = pa.FixedSizeListArray.from_arrays(vector.ravel(), vector.shape[1])
    pq.write_table(pa.table(table).replace_schema_metadata(told), folder / "spoilt.parquet")
    return folder / "spoilt.parquet"


def first_changed(name: str, value: Any) -> Callable[[Columns], Columns]:
    def change(columns: Columns) -> Columns:
        values = columns[name].tolist()
        return columns | {name: np.array([value, *values[1:]])}

    return change


FACTS: dict[str, Any] = {
    "a list": [1],
    "a text": "x",
    "no number": float("nan"),
    "a width of text": {"width": "8", "height": 8},
    "a width of nothing": {"width": 0, "height": 8},
    "a width of a truth": {"width": True, "height": 8},
    "a width beyond all": {"width": 10**400, "height": 8},
    "a day that is none": {"taken": "2023-02-31T00:00:00"},
    "a day of a list": {"taken": ["2023-02-03T00:00:00"]},
    "a time with a zone": {"taken": "2023-02-03T00:00:00+02:00"},
    "a change at no time": {"modified": 3},
    "a size of text": {"file_size": "large"},
    "a latitude of text": {"latitude": "north"},
    "a latitude beyond the pole": {"latitude": 91, "longitude": 0},
    "an infinite longitude": {"latitude": 1, "longitude": float("inf")},
    "a camera of a table": {"camera": {"make": 1}},
    "a camera that no file can hold": {"camera": "\ud800"},
    "a photo of a number": {"photo": 3},
    "keywords of numbers": {"keywords": [1, 2]},
    "something deep": {"new": [[[]]]},
    "a name that no file can hold": {"\ud800": 1},
}
SPOILT: dict[str, tuple[Callable[[Columns], Columns], str]] = {
    "a modality that nobody knows": (first_changed("modality", "evil"), "'evil' is no modality"),
    "no modality": (first_changed("modality", ""), "'' is no modality"),
    "a relative path": (first_changed("path", "photos/a.jpg"), "no absolute path"),
    "a path that climbs": (first_changed("path", "/photos/../../a.jpg"), "no absolute path"),
    "no path": (first_changed("path", ""), "no absolute path"),
    "the root": (first_changed("path", "/"), "no absolute path"),
    "a path where nothing can lie": (first_changed("path", "/dev/null/a.jpg"), "no place of a file"),
    "a part of no form": (first_changed("part", "'; DROP TABLE items"), "no part of a file"),
    "a fingerprint that is none": (first_changed("fingerprint", "xyz"), "no fingerprint"),
    "half a fingerprint": (first_changed("fingerprint", "ab"), "no fingerprint"),
    "facts that are no JSON": (first_changed("facts", "{"), "are no JSON"),
    "facts without end": (first_changed("facts", "[" * 100_000), "are no JSON"),
    **{
        f"facts: {what}": (first_changed("facts", json.dumps(facts)), "row 1: its fact")
        for what, facts in FACTS.items()
    },
    "a text that is too long": (first_changed("text", "a" * (LONGEST + 1)), "is no text|values of"),
    "numbers instead of paths": (lambda columns: columns | {"path": np.arange(4)}, "path"),
    "texts instead of numbers": (lambda columns: columns | {"file_size": np.array(list("abcd"))}, "file_size"),
    "a column too few": (lambda columns: {name: columns[name] for name in columns if name != "facts"}, "facts"),
    "vectors of another length": (
        lambda columns: columns | {"vector": np.ones((4, 7), np.float16)},
        "have 7 dimensions, those of colors 4",
    ),
    "a vector that is no number": (
        lambda columns: columns | {"vector": np.full((4, 4), np.nan, np.float16)},
        "row 1: it holds values that are no numbers",
    ),
    "a vector that is nothing": (
        lambda columns: columns | {"vector": np.zeros((4, 4), np.float16)},
        "row 1: all its values are 0",
    ),
    "a vector without measure": (
        lambda columns: columns | {"vector": np.full((4, 4), 3e38, np.float32)},
        "row 1: its values are too large",
    ),
    "an encoder that is no name": (lambda columns: columns | {"encoder": np.array("a\x1b[31m")}, "is no encoder"),
    "another encoder": (lambda columns: columns | {"encoder": np.array("other")}, "were made by other"),
}


@pytest.mark.parametrize("write", [as_npz, as_parquet])
@pytest.mark.parametrize(("spoil", "reason"), SPOILT.values(), ids=SPOILT)
def test_what_could_break_a_later_command_is_refused_and_nothing_is_stored(
    write: Callable[[Columns, Path], Path],
    spoil: Callable[[Columns], Columns],
    reason: str,
    exported: Columns,
    encoder: Encoder,
    tmp_path: Path,
) -> None:
    spoilt = write(spoil(exported), tmp_path)
    with pytest.raises(DescryError, match=reason) as refusal:
        import_into(tmp_path / "other", open_embeddings(spoilt), encoder)
    assert str(refusal.value).isprintable()
    assert len(str(refusal.value)) < 600
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize("write", [as_npz, as_parquet])
def test_what_is_sound_is_still_taken(
    write: Callable[[Columns, Path], Path], exported: Columns, encoder: Encoder, tmp_path: Path
) -> None:
    facts = {"width": 8, "height": 8, "taken": "2023-02-03T04:05:06", "keywords": ["a"], "latitude": 0, "later": 1.5}
    path = write(first_changed("facts", json.dumps(facts))(exported), tmp_path)
    assert import_into(tmp_path / "other", open_embeddings(path), encoder).stored == 4
    with Library.open(tmp_path / "other") as other:
        (first,) = other.catalog.items([1])
        assert facts.items() <= first.facts.items()


def member(value: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, value, allow_pickle=True)
    return file.getvalue()


def header(dtype: str, shape: tuple[int, ...]) -> bytes:
    """An array's beginning, without what should follow."""
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": dtype, "fortran_order": False, "shape": shape})
    return file.getvalue()


MEMBERS: dict[str, dict[str, bytes]] = {
    "an encoder that unpacks to gigabytes": {"encoder": header("<U8", (50_000_000,)) + bytes(200_000_000)},
    "a checksum of one enormous text": {"checksum": header("<U50000000", ()) + bytes(200_000_000)},
    "paths of megabytes each": {"path": header("<U50000000", (4,)) + bytes(1000)},
    "vectors that are not there": {"vector": header("<f2", (4_000_000_000, 4)) + bytes(32)},
    "vectors of a million numbers": {"vector": header("<f2", (4, 1_000_000)) + bytes(8_000_000)},
    "vectors of none": {"vector": header("<f2", (4, 0))},
    "a negative number of vectors": {"vector": header("<f2", (-4, 4)) + bytes(32)},
    "vectors that are one number": {"vector": header("<f2", ()) + bytes(2)},
    "an array that holds code": {"path": member(np.array([print, print, print, print], object))},
    "no array": {"path": b"PK"},
    "nothing": {"path": b""},
    "a header without end": {"path": b"\x93NUMPY\x01\x00\xff\xff" + b"{" * 0xFFFF},
}


@pytest.mark.parametrize("members", MEMBERS.values(), ids=MEMBERS)
def test_nothing_is_unpacked_before_its_size_is_known_to_fit(
    members: dict[str, bytes], exported: Columns, encoder: Encoder, tmp_path: Path
) -> None:
    with zipfile.ZipFile(as_npz(exported, tmp_path)) as sound, zipfile.ZipFile(tmp_path / "it.npz", "w") as spoilt:
        for name in sound.namelist():
            content = members.get(name.removesuffix(".npy"), sound.read(name))
            spoilt.writestr(name, content, compress_type=zipfile.ZIP_DEFLATED)
    tracemalloc.start()
    try:
        with pytest.raises(PathError, match=r"it\.npz is no whole export"):
            import_into(tmp_path / "other", open_embeddings(tmp_path / "it.npz"), encoder)
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()


def test_long_texts_are_exported_and_imported_few_at_a_time(
    library: Library, encoder: Encoder, photos: Path, tmp_path: Path
) -> None:
    long = "red " * 50_000
    (photos / "captions.jsonl").write_text(
        "".join(json.dumps({"caption": f"{number} {long if number == 7 else ''}"}) + "\n" for number in range(400))
    )
    index_sources(library, [photos], encoder)
    tracemalloc.start()
    try:
        export(library, tmp_path / "items.npz")
        report = import_into(tmp_path / "other", open_embeddings(tmp_path / "items.npz"), encoder)
        assert tracemalloc.get_traced_memory()[1] < 300_000_000  # in one piece the texts alone are 320 MB, twice
    finally:
        tracemalloc.stop()
    assert report.stored == 400


def test_a_parquet_group_that_unpacks_to_gigabytes_is_refused(
    exported: Columns, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("indexer.transfer.parquet.LARGEST_GROUP", 1000)
    many = {name: np.concatenate([column] * 50) if column.ndim else column for name, column in exported.items()}
    with pytest.raises(PathError, match="a group of its rows takes"):
        open_embeddings(as_parquet(many, tmp_path))


@pytest.mark.parametrize(
    "name", ["open_clip:ViT-B-32//tmp/evil.pt", "embedded:/tmp/evil", "ensemble:embedded+embedded"]
)
def test_a_file_does_not_choose_which_weights_are_loaded(name: str, exported: Columns, tmp_path: Path) -> None:
    path = as_npz(exported | {"encoder": np.array(name)}, tmp_path)
    with pytest.raises(PathError, match="if that is right, name it with --model"):
        encoder_of(open_embeddings(path))
