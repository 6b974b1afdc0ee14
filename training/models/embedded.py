"""The shipped encoder, and others of its form, as a model that learns, and how its folder is written."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors.numpy import save
from torch import Tensor, nn
from torch.nn import functional

from indexer import shipped
from indexer.atomic import atomic_write
from indexer.encoders.embedded import (
    CONFIG,
    FORMAT,
    HEAD,
    TOKENIZER,
    TRANSFORMER,
    WEIGHTS,
    read_config,
    read_weights,
    transformer,
)
from indexer.encoders.embedded_image import Conv, Head, ImageModel
from indexer.encoders.layers import BlockShape, read_shape
from indexer.encoders.minilm import WordPieces, tokens
from indexer.errors import EncoderUnavailable
from indexer.photos.preprocessing import Preprocessing
from training.data import remembered
from training.models import Free, Similarity, free_last

Arrays = dict[str, npt.NDArray[Any]]


def load(name: str, *, random: bool) -> EmbeddedModel:
    """The model of the encoder `embedded` or `embedded:/path/to/folder`. Raises `EncoderUnavailable`."""
    folder = Path(name.partition(":")[2]) if ":" in name else shipped("models", "embedded")
    config = read_config(folder)
    try:
        model = EmbeddedModel(folder, config)
        if not random:
            model.load()
    except (RuntimeError, KeyError, TypeError, ValueError) as error:
        raise EncoderUnavailable(f"{folder}: weights and config do not fit each other; train it anew.") from error
    return model


class EmbeddedModel:
    """A small convolutional trunk with its head, and a head behind MiniLM's sentence vectors. A `Trainable`.

    The transformer itself stands still: training its last layers brought nothing, and each sentence goes through once.
    """

    similarity: Similarity | None = None  # the form has no place for it

    def __init__(self, folder: Path, config: dict[str, Any]) -> None:
        self._folder, image = folder, config["image"]
        self._blocks, self.dimension = read_shape(image["blocks"]), int(config["dimension"])
        grey, unit = (0.5, 0.5, 0.5), (1.0, 1.0, 1.0)  # the model scales bytes itself
        self.recipe = Preprocessing(image["size"], grey, unit, "bilinear", image["mode"])
        self._arrays = read_weights(folder, "")
        beginning = f"text.{TRANSFORMER}"
        self._transformer = {k.removeprefix(beginning): v for k, v in self._arrays.items() if k.startswith(beginning)}
        hidden, width = self._arrays[f"text.{HEAD}into.weight"].shape
        self._minilm, self._pieces = transformer(self._transformer, width), WordPieces(folder / TOKENIZER)
        self.image: nn.Module = ImageModel(self._blocks, hidden=image["hidden"], dimension=self.dimension)
        self.text: nn.Module = Head(width, hidden, self.dimension)
        self.image.to(memory_format=torch.channels_last)
        if not torch.cuda.is_available():  # 224 px, 32 photos, bfloat16, one core: 1.7 s a step instead of 2.6
            use_matrix_depthwise(self.image)
        self.tokens = remembered(self._vectors)

    def load(self) -> None:
        """Takes the folder's weights."""
        for tower, prefix in ((self.image, "image."), (self.text, f"text.{HEAD}")):
            arrays = {k.removeprefix(prefix): v for k, v in self._arrays.items() if k.startswith(prefix)}
            tower.load_state_dict({name: torch.from_numpy(array.astype(np.float32)) for name, array in arrays.items()})

    def to(self, device: torch.device) -> None:
        """Moves both towers."""
        self.image.to(device)
        self.text.to(device)

    def free(self, *, image: Free, text: Free) -> None:
        """Groups are the trunk's blocks and the head; of the text tower the head is the only one."""
        self.image.requires_grad_(False)
        self.text.requires_grad_(False)
        trunk, head = self.image.get_submodule("trunk.blocks"), self.image.get_submodule("head")
        free_last([*trunk.children(), head], image)
        free_last([self.text], text)

    def _vectors(self, sentences: Sequence[str]) -> Tensor:
        """Sentences as what the text tower takes: the transformer's vectors `[n, outputs]`."""
        ids = [tokens(self._pieces, sentence, self._minilm.context) for sentence in sentences]
        return torch.from_numpy(self._minilm.encode(ids))

    def embed_photos(self, pixels: Tensor) -> Tensor:
        """Photos `[n, 3, size, size]` uint8 as unit rows `[n, dimension]`."""
        rows: Tensor = self.image(pixels)
        return rows

    def embed_sentences(self, ids: Tensor) -> Tensor:
        """What `tokens` gives as unit rows `[n, dimension]`."""
        return functional.normalize(self.text(ids).float(), dim=-1)

    def save(self, folder: Path, similarity: Similarity) -> str:  # noqa: ARG002  (the form has no place for it)
        """Writes the folder that `indexer.encoders.embedded` reads."""
        write_encoder(
            folder,
            pack(self.image.state_dict(), self.text.state_dict(), self._transformer),
            blocks=self._blocks,
            size=self.recipe.size,
            mode=self.recipe.mode,
            tokenizer=self._folder / TOKENIZER,
        )
        return f"embedded:{folder}"


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
            "blocks": [
                {"residual": block.residual, "convs": [conv._asdict() for conv in block.convs]} for block in blocks
            ],
        },
    }
    for name, written in ((WEIGHTS, content), (CONFIG, (json.dumps(config, indent=1) + "\n").encode())):
        with atomic_write(folder / name) as new:
            new.write_bytes(written)
    shutil.copyfile(tokenizer, folder / TOKENIZER)
    return checksum


class MatrixDepthwise(nn.Module):
    """A depthwise `Conv` that shares its parameters and computes the same as one small dense matrix a channel.

    torch runs the backward pass of a strided or 5x5 one on a CPU as a slow loop: 1380 ms of a step of 2860 (160
    px, batch 128, two cores with AMX); so the step takes 2100.
    """

    def __init__(self, conv: Conv) -> None:
        super().__init__()
        self.weight, self.bias = conv.weight, conv.bias
        self.kernel, self.stride, self.relu = conv.kernel_size[0], conv.stride[0], conv.relu

    def forward(self, x: Tensor) -> Tensor:
        """`[n, c, h, w]` -> `[n, c, h', w']`, as `Conv.forward`."""
        n, c, height, width = x.shape
        spread = _spread(height, width, self.kernel, self.stride).to(self.weight.dtype)
        matrices = (self.weight.flatten(1) @ spread).view(c, height * width, -1)  # [c, h w, h' w']
        columns = x.permute(1, 0, 2, 3).reshape(c, n, height * width)
        y = torch.bmm(columns, matrices)  # [c, n, h' w']
        y = y.view(c, n, -(-height // self.stride), -(-width // self.stride)).permute(1, 0, 2, 3)
        y = y + self.bias[:, None, None].to(y.dtype)  # type: ignore[index]
        y = y.contiguous(memory_format=torch.channels_last)
        return functional.relu(y, inplace=True) if self.relu else y


@lru_cache(maxsize=32)
def _spread(height: int, width: int, kernel: int, stride: int) -> Tensor:
    """Where each kernel value stands in the matrix of a convolution: `[kernel * kernel, h w * h' w']` of 0 and 1."""
    rows = _spread_line(height, kernel, stride)
    columns = _spread_line(width, kernel, stride)
    both = torch.einsum("aio,bjp->abijop", rows, columns)  # (ky, kx, y, x, y', x')
    return both.reshape(kernel * kernel, -1).contiguous()


def _spread_line(size: int, kernel: int, stride: int) -> Tensor:
    """The same along one axis: `[kernel, size, ceil(size / stride)]`, with SAME padding."""
    outputs = -(-size // stride)
    before = max((outputs - 1) * stride + kernel - size, 0) // 2
    line = torch.zeros(kernel, size, outputs)
    for k in range(kernel):
        for output in range(outputs):
            source = output * stride + k - before
            if 0 <= source < size:
                line[k, source, output] = 1.0
    return line


def use_matrix_depthwise(trunk: nn.Module) -> None:
    """Replaces, in place, the depthwise convolutions of a trunk that torch is slow at; parameters stay the same."""
    for module in trunk.modules():
        if not isinstance(module, nn.Sequential):
            continue
        for position, conv in enumerate(module):
            if isinstance(conv, Conv) and conv.groups > 1 and (conv.stride[0] > 1 or conv.kernel_size[0] > 3):
                module[position] = MatrixDepthwise(conv)
