"""Photos of examples through an encoder, however many there are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from evaluation.datasets import Example
from indexer.encoders import Encoder
from indexer.items import Float32Array


def embed_photos(encoder: Encoder, examples: Sequence[Example], *, batch: int = 64) -> Float32Array:
    """Unit rows `[n, dim]` of the photos of examples, a batch in memory at a time."""
    starts = range(0, len(examples), batch)
    return np.concatenate(
        [encoder.embed("image", [example.picture() for example in examples[at : at + batch]]) for at in starts]
    )
