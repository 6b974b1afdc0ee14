"""From trained modules to the folder that `indexer.encoders.embedded` reads: compact, checked, all or nothing."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
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
from indexer.encoders.embedded_text import HEAD, TRANSFORMER

Arrays = dict[str, npt.NDArray[Any]]


def pack(
    image: Mapping[str, Tensor], text: Mapping[str, Tensor], transformer: Mapping[str, npt.NDArray[Any]]
) -> Arrays:
    """An image model's state, a text head's and the transformer's own arrays, as they are stored: float16, or int8."""
    # In C order: safetensors writes the bytes of an array as they lie, also those of a channels-last weight.
    learned = {f"image.{name}": tensor for name, tensor in image.items()}
    learned |= {f"text.{HEAD}{name}": tensor for name, tensor in text.items()}
    arrays: Arrays = {name: tensor.cpu().numpy().astype(np.float16, order="C") for name, tensor in learned.items()}
    return arrays | {f"text.{TRANSFORMER}{name}": np.array(array) for name, array in transformer.items()}


def write_encoder(
    folder: Path, arrays: Arrays, *, blocks: Sequence[BlockShape], size: int, mode: str, tokenizer: Path
) -> str:
    """Writes the folder of an encoder and gives its checksum; each file appears whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    content = save(arrays)
    checksum = hashlib.sha256(content).hexdigest()[:16]
    dimension, hidden = arrays["image.head.out.weight"].shape
    config = {
        "format": FORMAT,
        "checksum": checksum,
        "dimension": dimension,
        "image": {
            "size": size,
            "mode": mode,
            "hidden": hidden,
            "dimension": dimension,
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
