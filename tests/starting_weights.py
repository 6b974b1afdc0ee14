"""Starting weights of the published files' form, so small that a trunk runs and a tower learns in milliseconds."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from indexer.shipped import shipped

TOKENS = 29528


def write_starting_weights(folder: Path) -> None:
    """Folders `image`, a trunk of two blocks, and `text`, token vectors with the shipped tokeniser."""
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
    save_file(
        {"embeddings": draw.integers(-99, 99, (TOKENS, 8)).astype(np.int8)}, folder / "text" / "model.safetensors"
    )
    tokenizer = shipped("models", "embedded", "tokenizer.json").read_bytes()
    (folder / "text" / "tokenizer.json").write_bytes(tokenizer)
