"""A sentence and a detail of a photo as one query: a small attention block, to be compared with adding vectors."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True)
class Asked:
    """Composed queries and what each is after, as unit rows of one encoder.

    `sentences` `[n, dim]`, `details` `[n, dim]`, `regions` `[n, cells, dim]` what is where in the details, `photos`
    `[n, dim]` the whole photos.
    """

    sentences: Tensor
    details: Tensor
    regions: Tensor
    photos: Tensor

    def __len__(self) -> int:
        return len(self.sentences)

    def rows(self, chosen: Tensor) -> Asked:
        """The queries in these rows."""
        return Asked(self.sentences[chosen], self.details[chosen], self.regions[chosen], self.photos[chosen])


class FusionBlock(nn.Module):
    """Cross-attention (Vaswani et al., 2017) of a sentence over the regions of a detail, and a gate between the two.

    The gate is that of the combiner of Baldrati et al., 2022, "Conditioned and Composed Image Retrieval Combining and
    Partially Fine-Tuning CLIP-Based Features". Before training the block adds both vectors in equal parts.
    """

    def __init__(self, dimension: int, heads: int = 4) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(dimension, dimension)
        self.key_value = nn.Linear(dimension, 2 * dimension)
        self.out = nn.Linear(dimension, dimension)
        self.gate = nn.Sequential(nn.Linear(3 * dimension, dimension), nn.GELU(), nn.Linear(dimension, 1))
        for last in (self.out, self.gate[-1]):
            nn.init.zeros_(last.weight)  # type: ignore[arg-type]
            nn.init.zeros_(last.bias)  # type: ignore[arg-type]

    def forward(self, sentences: Tensor, details: Tensor, regions: Tensor) -> Tensor:
        """`[n, dim]`, `[n, dim]`, `[n, cells, dim]` -> unit rows `[n, dim]`."""
        n, cells, dimension = regions.shape
        split = (self.heads, dimension // self.heads)
        query = self.query(sentences).view(n, 1, *split).transpose(1, 2)  # (n, heads, 1, dim / heads)
        key, value = self.key_value(regions).view(n, cells, 2, *split).permute(2, 0, 3, 1, 4)
        attended = functional.scaled_dot_product_attention(query, key, value).reshape(n, dimension)
        share = torch.sigmoid(self.gate(torch.cat([sentences, details, attended], dim=1)))  # (n, 1)
        return functional.normalize((1 - share) * sentences + share * details + self.out(attended), dim=-1)


def added(sentences: Tensor, details: Tensor, share: float) -> Tensor:
    """Plain addition, the detail's part being `share`: `[n, dim]` twice -> unit rows `[n, dim]`."""
    return functional.normalize((1 - share) * sentences + share * details, dim=-1)


def blurred(rows: Tensor, amount: float, draw: torch.Generator) -> Tensor:
    """Unit rows moved by noise whose length is `amount`, and made unit rows again."""
    noise = torch.randn(rows.shape, generator=draw)
    return functional.normalize(rows + amount * functional.normalize(noise, dim=-1), dim=-1)


def right_among(queries: Tensor, photos: Tensor, scale: Tensor) -> Tensor:
    """InfoNCE of queries, each of which is after the photo of its own row: `[n, dim]` twice -> a number."""
    return functional.cross_entropy(scale * queries @ photos.T, torch.arange(len(queries)))
