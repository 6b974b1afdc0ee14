"""One trainer for every command: a model, an objective, pairs to learn from and pairs to measure on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from evaluation.datasets import Example
from indexer.encoders.devices import pick_dtype
from indexer.items import Float32Array
from training.ahead import Ahead
from training.augment import crop, relight
from training.gradient_cache import embed_in_chunks
from training.loop import Loop, Plan
from training.models.base import Trainable
from training.objective import Objective
from training.pairs import Batch, PairSampler, Photos, UInt8Array, remembered
from training.settings import Learning, Settings
from training.validation import ValidationSet, overall

# Photos are kept this much larger than the model sees them, so that a crop of three quarters loses no sharpness.
MARGIN = 1.15
# Rows that go through a tower at once when nothing is learned.
PORTION = 64


@dataclass
class Trainer:
    """Trains a model's free weights; everything it writes lies in `folder`."""

    model: Trainable
    objective: Objective
    examples: Sequence[Example]
    validation: Sequence[ValidationSet]
    settings: Settings
    folder: Path
    device: torch.device
    name: str

    def __post_init__(self) -> None:
        learning, recipe = self.settings.learning, self.model.recipe
        side = round(recipe.size * MARGIN) if self.settings.augment else recipe.size
        memory = {"workers": learning.workers, "megabytes": learning.megabytes}
        self._photos = Photos(self.examples, replace(recipe, size=side), **memory)
        self._shown = [Photos(each.examples, recipe, **memory) for each in self.validation]
        self._dtype = _dtype(learning, self.device)
        self.sampler = PairSampler(
            self.examples,
            self.settings.templates,
            batch=learning.batch,
            captions=learning.captions,
            seed=self.settings.seed,
        )
        self.model.to(self.device)
        self.objective.to(self.device)
        self._frozen_sentences = remembered(self._embed_sentences)

    @property
    def towers(self) -> dict[str, nn.Module]:
        """Both towers by name."""
        return {"image": self.model.image, "text": self.model.text}

    def train(self) -> None:
        """Runs, or goes on with, the whole plan; afterwards the model holds the best weights that were measured."""
        ahead = Ahead(self.sampler, lambda _: self._drawn())
        modules = {**self.towers, "objective": self.objective}
        loop = Loop(modules, plan(self.settings.learning, self.sampler.steps_an_epoch), self.folder, name=self.name)
        self._set_modes()
        loop.run(lambda step: self._losses(*ahead(step)), check=self.measure, state=ahead.state, restore=ahead.restore)

    def measure(self) -> dict[str, float]:
        """The validation sets' measures in percent, and `score`, the one to choose by."""
        modes = {name: tower.training for name, tower in self.towers.items()}
        for tower in self.towers.values():
            tower.eval()
        embed = partial(_in_portions, self._embed_sentences)
        tables = [
            each.measure(_in_portions(partial(self._embed_shown, shown), range(len(shown))), embed)
            for each, shown in zip(self.validation, self._shown, strict=True)
        ]
        for name, tower in self.towers.items():
            tower.train(modes[name])
        return overall(tables)

    def _drawn(self) -> tuple[Batch, Tensor]:
        batch = self.sampler.batch()
        return batch, self._pixels(self._photos(batch.rows))

    def _pixels(self, squares: Sequence[UInt8Array]) -> Tensor:
        """Squares, cropped and lit anew if that is wanted: `[n, 3, size, size]` uint8."""
        if not self.settings.augment:
            return torch.from_numpy(np.stack(squares))
        how, draw = self.settings.augmentation, self.sampler.numbers
        return relight(torch.stack([crop(one, self.model.recipe.size, how, draw) for one in squares]), how, draw)

    def _losses(self, batch: Batch, pixels: Tensor) -> dict[str, Tensor]:
        chunk = self.settings.learning.chunk
        sentences = [*batch.sentences, *self.objective.wanted(batch)]
        with self._autocast():
            photos = embed_in_chunks(self.model.embed_photos, pixels.to(self.device), chunk)
            if _learns(self.model.text):
                vectors = embed_in_chunks(self.model.embed_sentences, self._tokens(sentences), chunk)
            else:
                vectors = self._frozen_sentences(sentences)
        return dict(self.objective(batch, photos, vectors))

    def _tokens(self, sentences: Sequence[str]) -> Tensor:
        return self.model.tokens(sentences).to(self.device)

    @torch.no_grad()
    def _embed_sentences(self, sentences: Sequence[str]) -> Tensor:
        with self._autocast():
            return self.model.embed_sentences(self._tokens(sentences))

    @torch.no_grad()
    def _embed_shown(self, shown: Photos, rows: Sequence[int]) -> Tensor:
        with self._autocast():
            return self.model.embed_photos(torch.from_numpy(np.stack(shown(rows))).to(self.device))

    def _autocast(self) -> AbstractContextManager[Any]:
        if self._dtype == torch.float32:
            return nullcontext()
        return torch.autocast(self.device.type, self._dtype)

    def _set_modes(self) -> None:
        """A tower that is not all free stays as it is served: its batch statistics stand still too."""
        for tower in self.towers.values():
            tower.train(all(parameter.requires_grad for parameter in tower.parameters()))


def plan(learning: Learning, steps_an_epoch: int) -> Plan:
    """The loop's plan for so many steps an epoch."""
    return Plan(
        steps=learning.epochs * steps_an_epoch,
        batch=learning.batch,
        rates={"image": learning.image_rate, "text": learning.text_rate, "objective": learning.objective_rate},
        weight_decay=learning.weight_decay,
        warm_up=learning.warm_up,
        clip=learning.clip,
        average=learning.average,
        report_every=max(1, min(25, steps_an_epoch)),
        check_every=max(1, round(steps_an_epoch / learning.checks)),
        best="score",
        patience=learning.patience,
    )


def _dtype(learning: Learning, device: torch.device) -> torch.dtype:
    choices = {"float32": torch.float32, "bfloat16": torch.bfloat16}
    return choices.get(learning.precision) or pick_dtype(device)


def _learns(tower: nn.Module) -> bool:
    return any(parameter.requires_grad for parameter in tower.parameters())


def _in_portions(embed: Callable[[Any], Tensor], values: Sequence[Any]) -> Float32Array:
    """Rows `[n, dim]` of so many values, a few at a time."""
    starts = range(0, len(values), PORTION)
    return torch.cat([embed(values[at : at + PORTION]).float().cpu() for at in starts]).numpy()
