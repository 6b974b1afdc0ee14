"""The published weights that training starts from, in our own modules, and what they make of photos and sentences."""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from safetensors.numpy import load_file
from torch import Tensor
from torch.nn import functional

from evaluation.datasets import DataError, Example
from indexer.encoders.devices import pick_dtype
from indexer.encoders.embedded_image import Trunk
from indexer.encoders.layers import BlockShape, ConvShape
from indexer.encoders.minilm import MiniLM, WordPieces, tokens
from indexer.encoders.onednn import fuse_convolutions, runs_convolutions
from indexer.encoders.weights import map_arrays
from indexer.items import Float32Array
from training.data import UInt8Array

# Photos through the trunk at once: at 224 px their largest maps take 50 MB in bfloat16.
BATCH = 16

# Sentences of one thread at a time.
PORTION = 512

# The threads that decode photos, or embed sentences.
THREADS = 2


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


def squares(examples: Sequence[Example], side: int) -> UInt8Array:
    """The photos of examples, squashed to squares: `[n, 3, side, side]` uint8."""
    with ThreadPoolExecutor(THREADS) as threads:
        return np.stack(list(threads.map(lambda example: _square(example, side), examples)))


def _square(example: Example, side: int) -> UInt8Array:
    try:
        pixels = example.image().convert("RGB").resize((side, side), Image.Resampling.BILINEAR)
    except OSError as error:
        raise DataError(f"{example.where}: the photo cannot be read ({error}).") from error
    return np.ascontiguousarray(np.asarray(pixels).transpose(2, 0, 1))  # (side, side, 3) -> (3, side, side)


def served(photos: UInt8Array, size: int) -> Tensor:
    """Photos `[n, 3, side, side]` uint8 at the size at which they are served, `[n, 3, size, size]` uint8."""
    pixels = torch.from_numpy(photos)
    if pixels.shape[-1] != size:
        pixels = functional.interpolate(pixels, (size, size), mode="bilinear", antialias=True)
    return pixels.contiguous(memory_format=torch.channels_last)


def trunk_features(
    weights: dict[str, Tensor], shape: Sequence[BlockShape], photos: Sequence[UInt8Array], size: int
) -> Tensor:
    """A trunk's features of photos, arrays `[n, 3, side, side]` in a row, seen at `size`: `[all, width]` float16."""
    device = torch.device("cpu")
    trunk = Trunk(shape)
    trunk.load_state_dict(weights)
    dtype = pick_dtype(device)
    trunk.to(dtype).to(memory_format=torch.channels_last).requires_grad_(False)
    if runs_convolutions(Trunk, device, dtype):
        fuse_convolutions(trunk)
    with torch.inference_mode():
        few = (part[at : at + BATCH] for part in photos for at in range(0, len(part), BATCH))
        rows = [trunk(served(one, size)).half() for one in few]
    return torch.cat(rows).clone()


def sentence_vectors(folder: Path, sentences: Sequence[str]) -> Tensor:
    """MiniLM's vectors of sentences with their words, `[n, 768]` float16, from the folder of its weights."""
    model = MiniLM(map_arrays(folder / "model.safetensors"), words=True)
    pieces = WordPieces(folder / "tokenizer.json")

    def encoded(at: int) -> npt.NDArray[np.float32]:
        return model.encode([tokens(pieces, one, model.context) for one in sentences[at : at + PORTION]])

    with ThreadPoolExecutor(THREADS) as threads:
        return torch.from_numpy(np.concatenate(list(threads.map(encoded, range(0, len(sentences), PORTION))))).half()
