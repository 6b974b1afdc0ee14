"""The last stage: beside the learned answer, canonical correlations of what both towers compute, folded into them.

Gradient descent on a few thousand photos leaves much of what the towers know unused; regularised CCA between their last
hidden states uses all of it, and errs elsewhere. Both answers are scaled alike, laid end to end and projected to the
encoder's dimension. All of that is linear behind what the towers compute, so it costs nothing to serve.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from indexer.encoders.embedded_image import Head
from training.closed_form import AffineMap, Float64Array, cca, moments
from training.text_model import TextModel
from training.texts import Texts

# Sentences that go through the text tower at once.
BATCH = 512


@dataclass(frozen=True)
class Joining:
    """How both answers are joined: `share` is the part of the cosine that is the closed form's.

    `regularisation` and `power` are those of `closed_form.cca` and `Correlated.weighed`.
    """

    regularisation: float
    power: float
    share: float


@dataclass(frozen=True)
class Side:
    """One tower on the training pairs: what it computes `[n, inner]`, what it answers `[n, dim]`."""

    inner: Float64Array
    answer: Float64Array


def photo_side(head: Head, features: torch.Tensor) -> Side:
    """The head on pooled features `[n, width]`: its normalised input, its answer before that is made unit."""
    with torch.no_grad():
        return Side(head.norm(features).double().numpy(), head(features).double().numpy())


def sentence_side(text: TextModel, texts: Texts, sentences: Sequence[str]) -> Side:
    """The text tower on sentences: mean hidden state and mean token vector side by side, and the answer."""
    inner, answer = [], []
    with torch.no_grad():
        for start in range(0, len(sentences), BATCH):
            hidden, tokens = text.inner(texts.padded(sentences[start : start + BATCH]))
            inner.append(torch.cat([hidden, tokens], dim=1).double())
            answer.append((text.leave(hidden) + text.direct(tokens)).double())
    return Side(torch.cat(inner).numpy(), torch.cat(answer).numpy())


def join(head: Head, text: TextModel, photos: Side, sentences: Side, owners: Sequence[int], how: Joining) -> None:
    """Gives both towers the joined answer. `owners` `[sentences]` are the rows of `photos` that they describe."""
    width, dimension = text.leave.in_features, text.leave.out_features
    # Hidden states and token vectors differ in size by their making only; the ridge must not prefer one for it.
    sizes = np.repeat(
        [sentences.inner[:, :width].std(), sentences.inner[:, width:].std()], [width, sentences.inner.shape[1] - width]
    )
    found = cca(
        moments(photos.inner[np.asarray(owners)], sentences.inner / sizes),
        dimension=dimension,
        regularisation=how.regularisation,
    ).weighed(how.power)
    of_photos, of_sentences = found.x, AffineMap(found.y.mean * sizes, found.y.weight / sizes[:, None])
    photo = _Ends.of(photos.answer, of_photos(photos.inner), how.share)
    sentence = _Ends.of(sentences.answer, of_sentences(sentences.inner), how.share)
    to = _projection([photo, sentence], dimension)
    more = of_photos.weight @ photo.added(to)
    _replace(head.direct, photo.kept(to), more, -of_photos.mean @ more)
    _replace(head.out, photo.kept(to))
    more = of_sentences.weight @ sentence.added(to)
    _replace(text.leave, sentence.kept(to), more[:width], -of_sentences.mean @ more)
    _replace(text.direct, sentence.kept(to), more[width:])


@dataclass(frozen=True)
class _Ends:
    """Two answers `[n, dim]` and `[n, found]` that are laid end to end, and what each is scaled by."""

    learned: Float64Array
    found: Float64Array
    scales: tuple[float, float]

    @classmethod
    def of(cls, learned: Float64Array, found: Float64Array, share: float) -> _Ends:
        """Scaled so that `share` of the squared length is the second's, on average."""
        return cls(learned, found, (_scale(learned, 1 - share), _scale(found, share)))

    def rows(self) -> Float64Array:
        """Both end to end, unit rows `[n, dim + found]`."""
        joined = np.hstack([self.scales[0] * self.learned, self.scales[1] * self.found])
        unit: Float64Array = joined / np.linalg.norm(joined, axis=1, keepdims=True)
        return unit

    def kept(self, to: Float64Array) -> Float64Array:
        """What a projection `[dim + found, out]` does to the first answer: `[dim, out]`."""
        return self.scales[0] * to[: self.learned.shape[1]]

    def added(self, to: Float64Array) -> Float64Array:
        """What it does to the second: `[found, out]`."""
        return self.scales[1] * to[self.learned.shape[1] :]


def _scale(rows: Float64Array, share: float) -> float:
    return float(np.sqrt(share / (rows**2).sum(axis=1).mean()))


def _projection(sides: Sequence[_Ends], dimension: int) -> Float64Array:
    """The directions `[joined, dimension]` along which the joined rows of both sides are longest."""
    seconds = sum(rows.T @ rows / len(rows) for rows in (side.rows() for side in sides))
    directions: Float64Array = np.linalg.svd(np.asarray(seconds))[0][:, :dimension]
    return directions


def _replace(
    layer: nn.Linear, kept: Float64Array, more: Float64Array | float = 0.0, offset: Float64Array | float = 0.0
) -> None:
    """Makes a layer answer `kept` `[dim, out]` of what it did, `more` `[in, out]` of its input, and an `offset`."""
    weight, bias = (None if part is None else part.detach().double().numpy() for part in (layer.weight, layer.bias))
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(kept.T @ weight + np.transpose(more)))
        if bias is not None:
            layer.bias.copy_(torch.from_numpy(kept.T @ bias + offset))
