"""Starting weights of the published files' form, so small that a trunk runs and a tower learns in milliseconds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from indexer import shipped

# A transformer of one layer; twelve heads are what the published one has.
WIDTH, HIDDEN, CONTEXT = 24, 16, 16


def write_starting_weights(folder: Path) -> None:
    """Folders `image`, a trunk of two blocks, and `text`, a sentence transformer with the shipped tokeniser."""
    draw = np.random.default_rng(0)
    convs = [
        {"n": "CONV_2D", "i": [0], "o": 1, "k": 0, "act": "relu", "stride": [2, 2]},
        {"n": "DEPTHWISE_CONV_2D", "i": [1], "o": 2, "k": 1, "act": "relu", "stride": [1, 1]},
        {"n": "ADD", "i": [2, 1], "o": 3},
        {"n": "CONV_2D", "i": [3], "o": 4, "k": 2, "act": "relu", "stride": [1, 1]},
        {"n": "AVERAGE_POOL_2D", "i": [4], "o": 5},
        {"n": "CONV_2D", "i": [5], "o": 6, "k": 3, "act": None, "stride": [1, 1]},
    ]
    shapes = [(8, 3, 3, 3), (8, 1, 3, 3), (16, 8, 1, 1), (5, 16, 1, 1)]
    arrays = {f"w{k}": draw.normal(0, 0.3, shape).astype(np.float16) for k, shape in enumerate(shapes)}
    arrays |= {f"b{k}": np.zeros(shape[0], np.float16) for k, shape in enumerate(shapes)}
    (folder / "image").mkdir(parents=True)
    (folder / "image" / "layers.json").write_text(json.dumps(convs))
    (folder / "image" / "imagenet_labels.txt").write_text("background\nrose, red rose\ntomato\nsky\ngrass\n")
    save_file(arrays, folder / "image" / "weights_fp16.safetensors")
    (folder / "text").mkdir()
    tokenizer = shipped("models", "embedded", "tokenizer.json").read_text(encoding="utf-8")
    (folder / "text" / "tokenizer.json").write_text(tokenizer, encoding="utf-8")
    save_file(transformer(len(json.loads(tokenizer)["model"]["vocab"])), folder / "text" / "model.safetensors")


def transformer(words: int) -> dict[str, np.ndarray[Any, Any]]:
    """The arrays of a sentence transformer, as `indexer.encoders.minilm` takes them."""
    draw = np.random.default_rng(1)

    def matrix(name: str, rows: int, columns: int) -> dict[str, np.ndarray[Any, Any]]:
        return {
            f"{name}.weight": draw.integers(-127, 128, (rows, columns), dtype=np.int8),
            f"{name}.weight.scale": np.full(rows, 0.003, np.float16),
        }

    arrays = matrix("word", words, WIDTH) | {"pos": draw.normal(0, 0.1, (CONTEXT, WIDTH)).astype(np.float16)}
    layers = {"qkv": (3 * WIDTH, WIDTH), "out": (WIDTH, WIDTH), "fc1": (HIDDEN, WIDTH), "fc2": (WIDTH, HIDDEN)}
    for part, (rows, columns) in layers.items():
        arrays |= matrix(f"layers.0.{part}", rows, columns)
        arrays[f"layers.0.{part}.bias"] = np.zeros(rows, np.float16)
    for norm in ("n0", "layers.0.n1", "layers.0.n2"):
        arrays[f"{norm}.weight"], arrays[f"{norm}.bias"] = np.ones(WIDTH, np.float16), np.zeros(WIDTH, np.float16)
    return arrays
