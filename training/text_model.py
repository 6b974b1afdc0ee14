"""The text tower as a torch module, to be trained; `indexer.encoders.embedded_text` runs the same in numpy.

Two paths are summed. A plain mean of the static token vectors, mapped linearly, keeps every word of the
vocabulary meaningful, also those that no training caption has. A small pre-norm transformer adds what order and
company of words mean.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True)
class TextShape:
    """The sizes of a text tower."""

    tokens: int
    token_width: int
    width: int
    layers: int
    heads: int
    context: int
    dimension: int


class TextBlock(nn.Module):
    """Self-attention and a two-layer network, each normalised before and added after."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1 = nn.LayerNorm(width)
        self.attend = nn.Linear(width, 3 * width)
        self.mix = nn.Linear(width, width)
        self.norm2 = nn.LayerNorm(width)
        self.into = nn.Linear(width, 2 * width)
        self.out = nn.Linear(2 * width, width)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """`[n, t, width]` with `mask` `[n, 1, 1, t]`, true where a token is."""
        n, t, width = x.shape
        qkv = self.attend(self.norm1(x)).view(n, t, 3, self.heads, width // self.heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)  # each (n, heads, t, width / heads)
        # Written out: for sentences of a dozen tokens torch's fused attention takes 1.7 times as long to train.
        scores = query @ key.transpose(-1, -2) * (width // self.heads) ** -0.5
        mixed = scores.masked_fill(~mask, float("-inf")).softmax(dim=-1).to(value.dtype) @ value
        x = x + self.mix(mixed.transpose(1, 2).reshape(n, t, width))
        hidden = functional.gelu(self.into(self.norm2(x)), approximate="tanh")
        y: Tensor = x + self.out(hidden)
        return y


class TextModel(nn.Module):
    """Token ids to unit rows."""

    def __init__(self, shape: TextShape) -> None:
        super().__init__()
        self.shape = shape
        # Frozen: a word that no caption has stays where it was published relative to those that captions have.
        self.table = nn.Embedding(shape.tokens, shape.token_width).requires_grad_(False)
        self.enter = nn.Linear(shape.token_width, shape.width)
        self.positions = nn.Parameter(torch.zeros(shape.context, shape.width))
        self.blocks = nn.ModuleList(TextBlock(shape.width, shape.heads) for _ in range(shape.layers))
        self.norm = nn.LayerNorm(shape.width)
        self.leave = nn.Linear(shape.width, shape.dimension)
        self.direct = nn.Linear(shape.token_width, shape.dimension, bias=False)

    def forward(self, ids: Tensor) -> Tensor:
        """Ids `[n, t]`, -1 where there is no token -> unit rows `[n, dimension]` float32."""
        hidden, tokens = self.inner(ids)
        vectors = self.leave(hidden) + self.direct(tokens)
        return functional.normalize(vectors.float(), dim=-1)

    def inner(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        """Ids `[n, t]` -> the two means that the answer is linear in: hidden states `[n, width]`, token vectors."""
        here = ids >= 0  # (n, t)
        tokens = self.table(ids.clamp(min=0)) * here[:, :, None]  # (n, t, token width)
        x = self.enter(tokens) + self.positions[: ids.shape[1]]
        for block in self.blocks:
            x = block(x, here[:, None, None, :])
        return _mean(self.norm(x), here), _mean(tokens, here)


def _mean(x: Tensor, here: Tensor) -> Tensor:
    """The mean over the tokens that are there: `[n, t, w]`, `[n, t]` -> `[n, w]`."""
    weights = here.to(x.dtype)
    return torch.einsum("ntw,nt->nw", x, weights) / weights.sum(dim=1, keepdim=True).clamp(min=1)
