"""The form of the shipped encoder's image trunk: what `config.json` says of it, read without importing torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

# The trunk's own input scale, `(byte - 128) * 0.00787402`, in the order that bfloat16 keeps exact: bytes less
# 128 are small integers, so the only rounding is the product's.
MIDDLE = 128.0
SCALE = 0.00787402


@dataclass(frozen=True)
class ConvShape:
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


@dataclass(frozen=True)
class BlockShape:
    """Convolutions in a row; `residual` adds what went in to what comes out."""

    residual: bool
    convs: tuple[ConvShape, ...]


def read_shape(blocks: Sequence[dict[str, Any]]) -> tuple[BlockShape, ...]:
    """The trunk's shape from its description in `config.json`."""
    return tuple(
        BlockShape(bool(block["residual"]), tuple(ConvShape(**conv) for conv in block["convs"])) for block in blocks
    )
