"""Layers in numpy: what towers that answer without torch are made of."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from indexer.items import Float32Array


def layer_norm(states: Float32Array, weight: Float32Array, bias: Float32Array, epsilon: float) -> Float32Array:
    """The last axis centred, scaled to variance 1, then weighed and shifted (Ba, Kiros and Hinton, 2016)."""
    centered = states - states.mean(axis=-1, keepdims=True)
    variance = np.square(centered).mean(axis=-1, keepdims=True)
    normed: Float32Array = centered / np.sqrt(variance + np.float32(epsilon))
    return normed * weight + bias


def attention(projected: Float32Array, heads: int, mask: Float32Array | None = None) -> Float32Array:
    """Multi-head attention (Vaswani et al., 2017): `[n, length, 3 width]` -> `[n, length, width]`.

    Queries, keys and values lie side by side; `mask` `[length, length]` is added to the scores.
    """
    n, length, width = *projected.shape[:2], projected.shape[2] // 3
    # (n, length, 3 width) -> 3 x (n, heads, length, width / heads)
    query, key, value = projected.reshape(n, length, 3, heads, width // heads).transpose(2, 0, 3, 1, 4)
    scores = query @ key.swapaxes(-1, -2) / np.float32(math.sqrt(width // heads))  # (n, heads, length, length)
    if mask is not None:
        scores += mask
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    mixed: Float32Array = (powers / powers.sum(axis=-1, keepdims=True) @ value).swapaxes(1, 2).reshape(n, length, width)
    return mixed


def gelu(x: Float32Array) -> Float32Array:
    """Hendrycks and Gimpel's GELU (2016), by the error function, which numpy lacks.

    Approximated to 1.5e-7, the rounding of float32 (Abramowitz and Stegun, 7.1.26).
    """
    z = np.abs(x) * np.float32(math.sqrt(0.5))
    t = 1 / (1 + np.float32(0.3275911) * z)
    tail = t * np.float32(1.061405429) + np.float32(-1.453152027)
    for coefficient in (1.421413741, -0.284496736, 0.254829592):
        tail = tail * t + np.float32(coefficient)
    error = np.copysign(1 - tail * t * np.exp(-z * z), x)
    return np.asarray(np.float32(0.5) * x * (1 + error), dtype=np.float32)


def gelu_tanh(x: Float32Array) -> Float32Array:
    """Hendrycks and Gimpel's GELU in its tanh form (2016)."""
    inner = np.float32(math.sqrt(2 / math.pi)) * (x + np.float32(0.044715) * x * x * x)
    return np.asarray(np.float32(0.5) * x * (1 + np.tanh(inner)), dtype=np.float32)


def quick_gelu(x: Float32Array) -> Float32Array:
    """`x` times the logistic function of 1.702 `x`, which written by tanh cannot overflow."""
    return np.asarray(np.float32(0.5) * x * (1 + np.tanh(np.float32(0.851) * x)), dtype=np.float32)


HEAD_EPSILON = 1e-5  # torch's LayerNorm default, with which the weights were trained


class Head:
    """What stands behind both towers of the shipped encoder: a linear map, and a hidden layer's correction to it.

    `embedded_image.Head` is the same in torch.
    """

    def __init__(self, arrays: Mapping[str, npt.NDArray[Any]], dimension: int) -> None:
        """Raises `KeyError` or `ValueError` if an array is missing or they do not fit each other, or the dimension."""
        hidden, self.width = arrays["into.weight"].shape
        self.dimension = dimension
        shapes = {
            "norm.weight": (self.width,),
            "norm.bias": (self.width,),
            "direct.weight": (self.dimension, self.width),
            "direct.bias": (self.dimension,),
            "into.weight": (hidden, self.width),
            "into.bias": (hidden,),
            "out.weight": (self.dimension, hidden),
        }
        for name, shape in shapes.items():
            if arrays[name].shape != shape:
                raise ValueError(f"{name} is {arrays[name].shape}, not {shape}")
        self._arrays = {name: arrays[name].astype(np.float32) for name in shapes}

    def __call__(self, rows: Float32Array) -> Float32Array:
        """`[n, width]` -> `[n, dimension]`, not yet of unit length."""
        arrays = self._arrays
        x = layer_norm(rows, arrays["norm.weight"], arrays["norm.bias"], HEAD_EPSILON)
        hidden = gelu(x @ arrays["into.weight"].T + arrays["into.bias"])
        vectors: Float32Array = x @ arrays["direct.weight"].T + arrays["direct.bias"] + hidden @ arrays["out.weight"].T
        return vectors


# The trunk's own input scale, `(byte - 128) * 0.00787402`, in the order that bfloat16 keeps exact: bytes less
# 128 are small integers, so the only rounding is the product's.
MIDDLE = 128.0
SCALE = 0.00787402


class ConvShape(NamedTuple):
    """One convolution of the trunk: square kernel, TensorFlow's SAME padding, batch norm folded in."""

    inputs: int
    outputs: int
    kernel: int
    stride: int
    groups: int
    relu: bool

    def padding(self, size: int) -> tuple[int, int]:
        """Zeros before and after along one axis of `size`: with stride 2 they may be lopsided, the odd one after."""
        total = max((-(-size // self.stride) - 1) * self.stride + self.kernel - size, 0)
        return total // 2, total - total // 2


class BlockShape(NamedTuple):
    """Convolutions in a row; `residual` adds what went in to what comes out."""

    residual: bool
    convs: tuple[ConvShape, ...]


def read_shape(blocks: Sequence[dict[str, Any]]) -> tuple[BlockShape, ...]:
    """The shape of the image trunk from its description in `config.json`."""
    return tuple(
        BlockShape(bool(block["residual"]), tuple(ConvShape(**conv) for conv in block["convs"])) for block in blocks
    )
