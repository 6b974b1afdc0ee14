"""From trained modules to the folder that `indexer.encoders.embedded` reads: compact, checked, all or nothing."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors.numpy import save
from torch import Tensor

from indexer.atomic import atomic_write
from indexer.encoders.embedded import CONFIG, FORMAT, TOKENIZER, WEIGHTS
from indexer.encoders.embedded_shape import BlockShape
from indexer.items import Float32Array
from training.text_model import TextShape

Arrays = dict[str, npt.NDArray[Any]]


def pack(image: dict[str, Tensor], text: dict[str, Tensor]) -> Arrays:
    """The states of an image and a text model as arrays to be stored.

    float16 everywhere but in the token table, which is two thirds of the text tower and takes int8 with a scale
    a row. What that costs is measured in the model card.
    """
    # In C order: safetensors writes the bytes of an array as they lie, also those of a channels-last weight.
    arrays: Arrays = {f"image.{name}": tensor.numpy().astype(np.float16, order="C") for name, tensor in image.items()}
    arrays |= {f"text.{name}": tensor.numpy().astype(np.float16, order="C") for name, tensor in text.items()}
    del arrays["text.table.weight"]
    arrays["text.table"], arrays["text.table_scale"] = quantise_rows(text["table.weight"].numpy())
    return arrays


def quantise_rows(table: Float32Array) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.float16]]:
    """Rows `[n, width]` as int8 and one scale a row `[n]`; the error of a value is at most half its row's scale."""
    scales = (np.abs(table).max(axis=1) / 127).astype(np.float16)
    # A scale rounded down must not push the largest value past 127; a row of zeros needs no scale.
    steps = np.round(table / np.maximum(scales.astype(np.float32), 1e-8)[:, None])
    return np.clip(steps, -127, 127).astype(np.int8), scales


def write_encoder(
    folder: Path,
    arrays: Arrays,
    *,
    blocks: tuple[BlockShape, ...],
    hidden: int,
    size: int,
    text: TextShape,
    tokenizer: Path,
) -> str:
    """Writes the folder of an encoder and gives its checksum; each file appears whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    content = save(arrays)
    checksum = hashlib.sha256(content).hexdigest()[:16]
    config = {
        "format": FORMAT,
        "checksum": checksum,
        "dimension": text.dimension,
        "text": {"layers": text.layers, "heads": text.heads, "context": text.context},
        "image": {
            "size": size,
            "mode": "squash",  # cropping the middle costs caltech101 three points, see EXPERIMENTS.md
            "hidden": hidden,
            "dimension": text.dimension,
            "blocks": [asdict(block) for block in blocks],
        },
    }
    _write(folder / WEIGHTS, content)
    _write(folder / CONFIG, (json.dumps(config, indent=1) + "\n").encode())
    shutil.copyfile(tokenizer, folder / TOKENIZER)
    return checksum


def _write(path: Path, content: bytes) -> None:
    """Writes beside the file and renames, so that a reader never sees half of it."""
    with atomic_write(path) as new:
        new.write_bytes(content)
