"""A safetensors file by mmap: what the package of that name reads, and nothing that the header only claims."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from indexer.encoders.weights import map_arrays


def test_every_type_is_read_as_the_package_reads_it(tmp_path: Path) -> None:
    chance = np.random.default_rng(0)
    dtypes = ("f8", "f4", "f2", "i8", "i4", "i2", "i1", "u1")
    arrays = {f"a.{dtype}": chance.integers(0, 100, (3, 5)).astype(dtype) for dtype in dtypes}
    arrays |= {"scalar": np.array(2, np.float32), "none": np.zeros((0, 4), np.float32)}
    save_file(arrays, tmp_path / "it.safetensors", metadata={"a": "b"})
    mapped, expected = map_arrays(tmp_path / "it.safetensors"), load_file(tmp_path / "it.safetensors")
    assert mapped.keys() == expected.keys()
    for name, array in expected.items():
        assert mapped[name].dtype == array.dtype
        assert np.array_equal(mapped[name], array)
        assert not mapped[name].flags.writeable
    assert map_arrays(tmp_path / "it.safetensors", "a.").keys() == set(dtypes)


def written(path: Path, header: Any, content: bytes = b"\0" * 16, *, length: int | None = None) -> Path:
    told = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes((len(told) if length is None else length).to_bytes(8, "little") + told + content)
    return path


def entry(**changes: Any) -> dict[str, Any]:
    return {"a": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]} | changes}


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"\xff\xfe",
        b"[1]",
        b"[" * 100_000,
        {"a": 3},
        {"a": None},
        entry(dtype="F33"),
        entry(dtype=["F32"]),
        entry(shape=None),
        entry(shape=[4, 4]),
        entry(shape=[-2, -2]),
        entry(shape=[2.0, 2.0]),
        entry(shape=["2", 2]),
        entry(shape=[1] * 100),
        entry(data_offsets=[0]),
        entry(data_offsets=[8, 24]),
        entry(data_offsets=[-8, 8]),
        entry(data_offsets=[1 << 70, (1 << 70) + 16]),
    ],
    ids=lambda header: str(header)[:60],
)
def test_what_a_header_only_claims_is_refused(header: Any, tmp_path: Path) -> None:
    with pytest.raises(ValueError):
        map_arrays(written(tmp_path / "it.safetensors", header))


@pytest.mark.parametrize("length", [1 << 20, 1 << 63])
def test_a_header_longer_than_the_file_is_refused(length: int, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="longer than the file"):
        map_arrays(written(tmp_path / "it.safetensors", entry(), length=length))


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "it.safetensors").touch()
    with pytest.raises(ValueError):
        map_arrays(tmp_path / "it.safetensors")
