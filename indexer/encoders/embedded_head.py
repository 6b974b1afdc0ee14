"""What stands behind both towers of the shipped encoder, in numpy; `embedded_image.Head` is the same in torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from indexer.encoders.arithmetic import gelu, layer_norm
from indexer.items import Float32Array

NORM_EPSILON = 1e-5  # torch's LayerNorm default, with which the weights were trained

ARRAYS = ("norm.weight", "norm.bias", "direct.weight", "direct.bias", "into.weight", "into.bias", "out.weight")


class Head:
    """A normalised vector mapped linearly into the shared space, plus a hidden layer's correction to that."""

    def __init__(self, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        """Raises `KeyError` or `ValueError` if one of `ARRAYS` is missing or they do not fit each other."""
        self._arrays = {name: arrays[name].astype(np.float32) for name in ARRAYS}
        hidden, self.width = self._arrays["into.weight"].shape
        self.dimension = len(self._arrays["direct.bias"])
        expected = {
            "norm.weight": (self.width,),
            "norm.bias": (self.width,),
            "direct.weight": (self.dimension, self.width),
            "into.bias": (hidden,),
            "out.weight": (self.dimension, hidden),
        }
        for name, shape in expected.items():
            if self._arrays[name].shape != shape:
                raise ValueError(f"{name} is {self._arrays[name].shape}, not {shape}")

    def __call__(self, rows: Float32Array) -> Float32Array:
        """`[n, width]` -> `[n, dimension]`, not yet of unit length."""
        arrays = self._arrays
        x = layer_norm(rows, arrays["norm.weight"], arrays["norm.bias"], NORM_EPSILON)
        hidden = gelu(x @ arrays["into.weight"].T + arrays["into.bias"])
        vectors: Float32Array = x @ arrays["direct.weight"].T + arrays["direct.bias"] + hidden @ arrays["out.weight"].T
        return vectors
