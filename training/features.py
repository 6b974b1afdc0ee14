"""What towers that stand still make of photos and sentences, computed once: what closed forms and heads learn from."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from evaluation.datasets import DataError, Example
from indexer.encoders.devices import pick_dtype
from indexer.encoders.embedded_shape import BlockShape
from indexer.encoders.embedded_trunk import Trunk
from indexer.encoders.minilm import MiniLM, tokens
from indexer.encoders.onednn import fuse_convolutions, runs_convolutions
from indexer.encoders.weights import map_arrays
from indexer.encoders.word_pieces import WordPieces

UInt8Array = npt.NDArray[np.uint8]

# Photos through the trunk at once: at 224 px their largest maps take 50 MB in bfloat16.
BATCH = 16

# Sentences of one thread at a time.
PORTION = 512

# The threads that decode photos, or embed sentences.
THREADS = 2


def squares(examples: Sequence[Example], side: int) -> UInt8Array:
    """The photos of examples, squashed to squares: `[n, 3, side, side]` uint8."""
    with ThreadPoolExecutor(THREADS) as threads:
        return np.stack(list(threads.map(lambda example: _square(example, side), examples)))


def _square(example: Example, side: int) -> UInt8Array:
    try:
        pixels = example.picture().convert("RGB").resize((side, side), Image.Resampling.BILINEAR)
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
    if runs_convolutions(device, dtype):
        fuse_convolutions(trunk)
    with torch.inference_mode():
        few = (part[at : at + BATCH] for part in photos for at in range(0, len(part), BATCH))
        rows = [trunk(served(one, size)).half() for one in few]
    return torch.cat(rows).clone()


def sentence_vectors(folder: Path, sentences: Sequence[str]) -> Tensor:
    """MiniLM's vectors of sentences, `[n, width]` float16, from the folder of its weights."""
    model, pieces = MiniLM(map_arrays(folder / "model.safetensors")), WordPieces(folder / "tokenizer.json")

    def encoded(at: int) -> npt.NDArray[np.float32]:
        return model.encode([tokens(pieces, one, model.context) for one in sentences[at : at + PORTION]])

    with ThreadPoolExecutor(THREADS) as threads:
        return torch.from_numpy(np.concatenate(list(threads.map(encoded, range(0, len(sentences), PORTION))))).half()
