"""What several encoders of the same data answer together: vectors that the shipped encoder then learns to give.

Four members: the two learned encoders (stages meet and together), and two canonical correlations between what all text
towers compute and the features of a trunk, of the blended one and of the untouched one. Gradient descent on a few
thousand photos leaves much of what the towers know unused; regularised correlations use all of it, and err elsewhere.
Their unit vectors are laid end to end, so that a cosine is the mean of theirs, and turned to the encoder's dimension;
what each stands for is in EXPERIMENTS.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from indexer.encoders.base import unit_rows
from indexer.encoders.embedded_image import Head
from indexer.items import Float32Array, Int64Array, spread
from training.closed_form import Float64Array, cca, moments
from training.shipped.hubs import Holding, Hubs
from training.text_model import TextModel
from training.texts import Texts

# Sentences that go through the text towers at once.
BATCH = 512

# Training sentences, captions and names of classes, among which a photo may be a hub.
SAMPLE = 10_000


@dataclass(frozen=True)
class Rules(Holding):
    """How the members' answers are made one, and how hubs among them are held down.

    `regularisation` and `power` are those of `closed_form.cca` and `Correlated.weighed`; `labels` is how much a name of
    a class counts in the correlations beside a caption. Directions of the joined space are divided by the power
    `flatten` / 2 of their variance: at 1 all would count alike.
    """

    regularisation: float
    power: float
    labels: float
    flatten: float


@dataclass(frozen=True)
class Learned:
    """A learned encoder without its trunk, whose features the head takes."""

    text: TextModel
    head: Head


@dataclass(frozen=True)
class Said:
    """Sentences with the rows of the photos that they describe; `captions` is false for names of classes."""

    sentences: list[str]
    owners: Int64Array
    captions: npt.NDArray[np.bool_]

    @property
    def of_people(self) -> list[str]:
        """The captions."""
        return [sentence for sentence, caption in zip(self.sentences, self.captions, strict=True) if caption]

    @property
    def of_labels(self) -> list[str]:
        """The names of classes."""
        return [sentence for sentence, caption in zip(self.sentences, self.captions, strict=True) if not caption]


class Committee:
    """The members: each learned encoder, and a correlation for each further trunk."""

    def __init__(
        self, learned: Sequence[Learned], features: Sequence[Tensor], texts: Texts, said: Said, rules: Rules, width: int
    ) -> None:
        """`features` `[photos, inner]`: of each member's trunk, of the training photos. Answers have length `width`."""
        self._learned, self._texts = learned, texts
        hidden = self._hidden(said.sentences)
        self._sizes = [part.std() for part in hidden]
        weights = np.where(said.captions, 1.0, rules.labels)
        self._correlated = [
            cca(
                moments(normalised(trunk)[said.owners], self._computed(hidden), weights=weights),
                dimension=width,
                regularisation=rules.regularisation,
            ).weighed(rules.power)
            for trunk in features[len(learned) :]
        ]
        photos, sentences = self._photos(features), self._sentences(hidden)
        self._turn = _turned(photos, sentences[said.captions], width - Hubs.DIMENSIONS, rules.flatten)
        few = sentences[spread(len(sentences), SAMPLE)]
        self._hubs = Hubs.among(self._turned(photos), self._turned(few), rules)

    def photos(self, features: Sequence[Tensor]) -> Float32Array:
        """Answers `[n, width]`, unit rows, for photos by each member's trunk's features."""
        return self._hubs.photos(self._turned(self._photos(features)))

    def sentences(self, sentences: Sequence[str]) -> Float32Array:
        """Answers `[n, width]`, unit rows."""
        return self._hubs.sentences(self._turned(self._sentences(self._hidden(sentences))))

    def _turned(self, joined: Float64Array) -> Float32Array:
        return unit_rows(joined @ self._turn)

    def _photos(self, features: Sequence[Tensor]) -> Float64Array:
        count = len(self._learned)
        with torch.no_grad():
            answers = [
                member.head(rows.float()).double().numpy()
                for member, rows in zip(self._learned, features[:count], strict=True)
            ]
        answers += [pair.x(normalised(rows)) for pair, rows in zip(self._correlated, features[count:], strict=True)]
        return _end_to_end(answers)

    def _sentences(self, hidden: Sequence[Float64Array]) -> Float64Array:
        tokens = torch.from_numpy(hidden[-1]).float()
        with torch.no_grad():
            answers = [
                (member.text.leave(torch.from_numpy(state).float()) + member.text.direct(tokens)).double().numpy()
                for member, state in zip(self._learned, hidden, strict=False)
            ]
        return _end_to_end(answers + [pair.y(self._computed(hidden)) for pair in self._correlated])

    def _hidden(self, sentences: Sequence[str]) -> list[Float64Array]:
        """Every text tower's mean hidden states `[n, width]`, and the mean token vectors, which they share."""
        states = [inner(member.text, self._texts, sentences) for member in self._learned]
        return [*(hidden for hidden, _ in states), states[0][1]]

    def _computed(self, hidden: Sequence[Float64Array]) -> Float64Array:
        # Hidden states and token vectors differ in size by their making only; the ridge must not prefer one for it.
        return np.hstack([part / size for part, size in zip(hidden, self._sizes, strict=True)])


def inner(text: TextModel, texts: Texts, sentences: Sequence[str]) -> tuple[Float64Array, Float64Array]:
    """What a text tower computes before its last layers: mean hidden states and mean token vectors `[n, width]`."""
    hidden, tokens = [], []
    with torch.no_grad():
        for start in range(0, len(sentences), BATCH):
            states, vectors = text.inner(texts.padded(sentences[start : start + BATCH]))
            hidden.append(states.double())
            tokens.append(vectors.double())
    return torch.cat(hidden).numpy(), torch.cat(tokens).numpy()


def normalised(features: Tensor) -> Float64Array:
    """Features `[n, width]` with each row's mean and size taken out, as the image head sees them."""
    rows: Float64Array = functional.layer_norm(features.double(), features.shape[1:]).numpy()
    return rows


def _turned(photos: Float64Array, sentences: Float64Array, width: int, flatten: float) -> Float64Array:
    """The directions `[joined, width]` along which the rows of both sides are longest, each flattened."""
    seconds = sum(rows.T @ rows / len(rows) for rows in (photos, sentences))
    directions, variances, _ = np.linalg.svd(np.asarray(seconds))
    turned: Float64Array = directions[:, :width] * variances[:width] ** (-flatten / 2)
    return turned


def _end_to_end(answers: Sequence[Float64Array]) -> Float64Array:
    """Rows of length one, to which every answer adds the same."""
    joined: Float64Array = np.hstack([rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in answers])
    joined /= np.sqrt(len(answers))
    return joined
