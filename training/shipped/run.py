"""One run of the recipe: what its stages share, and what they leave for each other in the folder of the run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from evaluation.datasets import DataError
from indexer.encoders.embedded_image import Head
from training.features import ImageStart, read_mobilenet, trunk_features
from training.loop import save_atomic
from training.shipped.corpus import (
    Corpus,
    Sampler,
    Vocabulary,
    label_vocabularies,
    read_part,
    read_tables,
    targets,
    vocabularies,
)
from training.shipped.recipe import Recipe, Stage
from training.validation import ValidationSet


@dataclass
class Run:
    """The recipe, the folders, and what is read or computed once."""

    recipe: Recipe
    data: Path
    models: Path
    out: Path

    @cached_property
    def start(self) -> ImageStart:
        """The published image trunk and its classifier."""
        return read_mobilenet(self.models / self.recipe.image)

    @cached_property
    def corpus(self) -> Corpus:
        """All photos and sentences."""
        parts = [read_part(one, self.data, self.out / "photos" / f"{one.name}.npy") for one in self.recipe.source]
        return Corpus(parts, self.recipe)

    @cached_property
    def prompts(self) -> list[tuple[tuple[int, ...], ...]]:
        """The sentences that name the classifier's classes, and everyday words."""
        return vocabularies(self.corpus, self.start.names, read_tables(Path(self.recipe.everyday)))

    @cached_property
    def names(self) -> list[Vocabulary]:
        """What the classifier says of all photos, from the untouched trunk's features."""
        said = self.start.probabilities(self.stored("features_start.pt", "prepare"))
        found = targets(said, self.corpus.examples, self.start.names, read_tables(Path(self.recipe.everyday)))
        return [Vocabulary(prompts, target) for prompts, target in zip(self.prompts, found, strict=True)]

    @cached_property
    def learned_rows(self) -> npt.NDArray[np.int64]:
        """The rows of all photos that may be learned from."""
        return np.concatenate(self.corpus.learned)

    @cached_property
    def labels(self) -> list[Vocabulary]:
        """The labels of each labelled source, that compete for its photos."""
        return label_vocabularies(self.corpus)

    @cached_property
    def sentences(self) -> Tensor:
        """MiniLM's vectors of all sentences by their numbers, `[n, 768]` float32."""
        assert self.prompts  # these take up sentences of their own
        stored = self.stored("sentences.pt", "prepare")
        if stored["sentences"] != self.corpus.sentences:
            raise DataError(f"{self.out / 'sentences.pt'}: made of other sentences; give another --out.")
        vectors: Tensor = stored["vectors"].float()
        return vectors

    def stored(self, name: str, stage: str) -> Any:
        """What an earlier stage wrote. Raises `DataError` naming that stage where it has not run."""
        path = self.out / name
        if not path.is_file():
            raise DataError(f"{path}: missing; run `python -m training shipped --stage {stage}` with this --out first.")
        return torch.load(path, weights_only=False)

    def features(self, trunk: dict[str, Tensor]) -> Tensor:
        """A trunk's features of all photos at the size at which they are served, `[n, width]` float16."""
        photos = [part.photos for part in self.corpus.parts]
        return trunk_features(trunk, self.start.shape, photos, self.recipe.size)

    def once(self, name: str, make: Callable[[], Any]) -> None:
        """Writes what `make` gives, unless it is there already: a run that was cut off goes on."""
        if not (self.out / name).is_file():
            self.out.mkdir(parents=True, exist_ok=True)
            save_atomic(make(), self.out / name)

    def sampler(self, stage: Stage, number: int = 0) -> Sampler:
        """A sampler for a stage's run of that number; different stages and runs draw differently."""
        seed = self.recipe.seed + stage.plan.steps + number
        return Sampler(self.corpus, batch=stage.plan.batch, captions=stage.captions, seed=seed)

    def new_heads(self) -> tuple[Head, Head]:
        """Untrained heads behind the image trunk and behind a sentence's vector, whose input is standardised."""
        torch.manual_seed(self.recipe.seed)
        wide = self.recipe.heads
        image = Head(self.start.head.shape[1], wide.image, wide.dimension)
        text = Head(self.sentences.shape[1], wide.text, wide.dimension)
        standardise(text, self.sentences)
        return image, text

    def measure(self, photos: Sequence[Tensor], text: Callable[[Tensor], Tensor]) -> dict[str, float]:
        """Recalls in percent on the photos of `shown`, whose unit rows `[n, dim]` are given."""
        table: dict[str, float] = {}
        for name, rows in zip(self.recipe.measured, photos, strict=True):
            _, examples = self.corpus.held_out(name)
            embed = partial(self._embed, text)
            table |= ValidationSet(examples, f"{name}/").measure(rows.float().numpy(), embed)
        return table

    @torch.no_grad()
    def _embed(self, text: Callable[[Tensor], Tensor], sentences: Sequence[str]) -> npt.NDArray[np.float32]:
        numbers = [self.corpus.number(sentence) for sentence in sentences]
        return functional.normalize(text(self.sentences[numbers]), dim=-1).numpy()

    def shown(self) -> list[npt.NDArray[np.int64]]:
        """The rows of the photos that `measure` asks for."""
        return [self.corpus.held_out(name)[0] for name in self.recipe.measured]


def standardise(head: Head, rows: Tensor) -> None:
    """Lets a head's norm give every one of its inputs mean 0 and deviation 1 over `rows`; constant ones give 0."""
    with torch.no_grad():
        plain = functional.layer_norm(rows, rows.shape[1:])
        deviation = plain.std(dim=0)
        head.norm.weight.copy_(torch.where(deviation > 1e-3, 1 / deviation, 0.0))
        head.norm.bias.copy_(-plain.mean(dim=0) * head.norm.weight)
