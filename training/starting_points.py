"""The published weights that training starts from, in the forms our own modules take.

Kept apart because their file formats are other people's: nothing else here knows about them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import load_file
from torch import Tensor

from indexer.encoders.embedded_shape import BlockShape, ConvShape
from indexer.items import Float32Array


@dataclass(frozen=True)
class ImageStart:
    """A trunk's shape and weights, and the classifier that was trained on top of it.

    `weights` are named as `Trunk` names them; `head` is `[classes, width]`, `bias` `[classes]`; `names` are the
    classes' names, the commonest synonym first, in the order of the head's rows.
    """

    shape: tuple[BlockShape, ...]
    weights: dict[str, Tensor]
    head: Tensor
    bias: Tensor
    names: tuple[tuple[str, ...], ...]

    def probabilities(self, features: Tensor) -> Tensor:
        """What the classifier says of features `[n, width]`: `[n, classes]`, rows that sum to at most 1.

        The first class of the published head is "background": it names nothing, so its share is left empty.
        """
        probabilities = torch.softmax(features.float() @ self.head.T + self.bias, dim=1)
        probabilities[:, 0] = 0.0
        return probabilities


def read_mobilenet(folder: Path) -> ImageStart:
    """MobileNetEdgeTPU from its folder: `layers.json`, `weights_fp16.safetensors`, `imagenet_labels.txt`."""
    layers = json.loads((folder / "layers.json").read_text(encoding="utf-8"))
    arrays = {name: array.astype(np.float32) for name, array in load_file(folder / "weights_fp16.safetensors").items()}
    convs = [layer for layer in layers if layer["n"].endswith("CONV_2D")]
    blocks = _blocks([layer for layer in layers if layer["n"].endswith("CONV_2D") or layer["n"] == "ADD"][:-1])
    weights: dict[str, Tensor] = {}
    for b, (_, block) in enumerate(blocks):
        for c, layer in enumerate(block):
            weights[f"blocks.{b}.convs.{c}.weight"] = torch.from_numpy(arrays[f"w{layer['k']}"])
            weights[f"blocks.{b}.convs.{c}.bias"] = torch.from_numpy(arrays[f"b{layer['k']}"])
    shape = tuple(
        BlockShape(residual, tuple(_conv_shape(layer, arrays[f"w{layer['k']}"]) for layer in block))
        for residual, block in blocks
    )
    last = convs[-1]["k"]
    lines = (folder / "imagenet_labels.txt").read_text(encoding="utf-8").splitlines()
    names = tuple(tuple(name.strip() for name in line.split(",")) for line in lines)
    head = torch.from_numpy(arrays[f"w{last}"]).flatten(1)
    return ImageStart(shape, weights, head, torch.from_numpy(arrays[f"b{last}"]), names)


def _blocks(layers: list[dict[str, object]]) -> list[tuple[bool, list[dict[str, object]]]]:
    """The layers, which form a chain with some additions, as blocks: (residual, convolutions).

    An addition closes the block that began where its skip connection was taken.
    """
    blocks: list[tuple[bool, list[dict[str, object]]]] = []
    since: list[dict[str, object]] = []
    for layer in layers:
        if layer["n"] != "ADD":
            since.append(layer)
            continue
        skip = layer["i"][1]  # type: ignore[index]
        start = next(i for i, conv in enumerate(since) if conv["i"][0] == skip)  # type: ignore[index]
        if start:
            blocks.append((False, since[:start]))
        blocks.append((True, since[start:]))
        since = []
    return [*blocks, (False, since)]


def _conv_shape(layer: dict[str, object], weight: Float32Array) -> ConvShape:
    outputs, per_group, kernel, _ = weight.shape
    groups = outputs if layer["n"] == "DEPTHWISE_CONV_2D" else 1
    stride = int(layer["stride"][0])  # type: ignore[index]
    return ConvShape(per_group * groups, outputs, kernel, stride, groups, layer["act"] == "relu")


def read_potion(folder: Path) -> Float32Array:
    """The static token vectors of a Model2Vec folder, `[tokens, width]`, in the scale they are stored in."""
    return load_file(folder / "model.safetensors")["embeddings"].astype(np.float32)
