"""The parts of a transformer in numpy: what text towers that answer without torch are made of."""

from __future__ import annotations

import math

import numpy as np

from indexer.items import Float32Array


def softmax(scores: Float32Array) -> Float32Array:
    """Shares over the last axis that sum to 1."""
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    shares: Float32Array = powers / powers.sum(axis=-1, keepdims=True)
    return shares


def layer_norm(states: Float32Array, weight: Float32Array, bias: Float32Array, epsilon: float) -> Float32Array:
    """The last axis centred, scaled to variance 1, then weighed and shifted (Ba, Kiros and Hinton, 2016)."""
    centered = states - states.mean(axis=-1, keepdims=True)
    variance = np.square(centered).mean(axis=-1, keepdims=True)
    normed: Float32Array = centered / np.sqrt(variance + np.float32(epsilon))
    return normed * weight + bias


def attention(projected: Float32Array, heads: int, mask: Float32Array | None = None) -> Float32Array:
    """Multi-head attention (Vaswani et al., 2017) of queries, keys and values side by side.

    `[n, length, 3 width]` -> `[n, length, width]`.

    `mask` `[length, length]` is added to the scores before the softmax.
    """
    n, length, width = *projected.shape[:2], projected.shape[2] // 3
    # (n, length, 3 width) -> 3 x (n, heads, length, width / heads)
    query, key, value = projected.reshape(n, length, 3, heads, width // heads).transpose(2, 0, 3, 1, 4)
    scores = query @ key.swapaxes(-1, -2) / np.float32(math.sqrt(width // heads))  # (n, heads, length, length)
    if mask is not None:
        scores += mask
    mixed: Float32Array = (softmax(scores) @ value).swapaxes(1, 2).reshape(n, length, width)
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
