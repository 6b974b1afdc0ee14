"""Arrays of a safetensors file, memory-mapped: only what is touched is read; the package of that name would copy them.

The format is eight bytes with the length of a JSON header, the header, and the arrays one behind the other.
"""

from __future__ import annotations

import json
import math
import mmap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "|i1", "U8": "|u1"}
LENGTH = 8  # bytes that tell the header's


def map_arrays(path: Path, prefix: str = "") -> dict[str, npt.NDArray[Any]]:
    """The arrays whose names begin with `prefix`, without it, read-only.

    Raises `OSError`, and `ValueError` for a file that is no such file or does not hold what its header says.
    """
    with path.open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    start = LENGTH + int.from_bytes(mapped[:LENGTH], "little")
    if start > len(mapped):
        raise ValueError("its header is longer than the file")
    try:
        header = json.loads(mapped[LENGTH:start])
    except RecursionError as error:
        raise ValueError("its header is damaged") from error
    if not isinstance(header, dict):
        raise ValueError("its header is no table")
    return {
        name.removeprefix(prefix): _array(mapped, start, name, entry)
        for name, entry in header.items()
        if name != "__metadata__" and name.startswith(prefix)
    }


def _array(mapped: mmap.mmap, start: int, name: str, entry: Mapping[str, Any]) -> npt.NDArray[Any]:
    try:
        dtype, shape, (begin, end) = np.dtype(DTYPES[entry["dtype"]]), entry["shape"], entry["data_offsets"]
        if not all(isinstance(number, int) and number >= 0 for number in (*shape, begin, end)):
            raise ValueError("negative")
        if end - begin != math.prod(shape) * dtype.itemsize or start + end > len(mapped):
            raise ValueError("too short")
        return np.frombuffer(mapped, dtype, count=math.prod(shape), offset=start + begin).reshape(shape)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"its array {name!r} is damaged") from error
