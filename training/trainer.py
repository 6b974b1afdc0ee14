"""`contrastive`, `finetune` and `distill`: read, check, train, choose, write. Nothing is written before all is read."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from evaluation.datasets import DataError, Example
from indexer.encoders import load_encoder
from indexer.encoders.devices import pick_device, pick_dtype
from indexer.items import Float32Array
from training.data import (
    Ahead,
    Batch,
    PairSampler,
    Photos,
    check_photos,
    crop,
    read_source,
    relight,
    remembered,
)
from training.finetune import adapt, choose_on_line, merge, weights_of
from training.loop import Loop, Plan, TrainingError, draw_curve, require_matplotlib
from training.models import Trainable, load_model
from training.objective import EncoderTeacher, Objective, read_classifier
from training.settings import Learning, Settings, read_settings
from training.validation import ValidationSet, overall

SETTINGS, LOG, CURVE, REPORT, ENCODER = "settings.json", "log.jsonl", "curve.png", "report.json", "encoder"

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
        choices = {"float32": torch.float32, "bfloat16": torch.bfloat16}
        self._dtype = choices.get(learning.precision) or pick_dtype(self.device)
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
        for tower in self.towers.values():  # one that is not all free stays as it is served, its batch statistics too
            tower.train(all(parameter.requires_grad for parameter in tower.parameters()))
        loop.run(lambda step: self._losses(*ahead(step)), check=self.measure, sampler=ahead)

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
        """A batch and its photos `[n, 3, size, size]` uint8, cropped and lit anew if that is wanted."""
        batch = self.sampler.batch()
        squares = self._photos(batch.rows)
        if not self.settings.augment:
            return batch, torch.from_numpy(np.stack(squares))
        how, draw = self.settings.augmentation, self.sampler.draw
        cropped = torch.stack([crop(one, self.model.recipe.size, how, draw) for one in squares])
        return batch, relight(cropped, how, draw)

    def _losses(self, batch: Batch, pixels: Tensor) -> dict[str, Tensor]:
        chunk = self.settings.learning.chunk
        sentences = [*batch.sentences, *self.objective.wanted(batch)]
        with self._autocast():
            photos = embed_in_chunks(self.model.embed_photos, pixels.to(self.device), chunk)
            if any(parameter.requires_grad for parameter in self.model.text.parameters()):
                vectors = embed_in_chunks(self.model.embed_sentences, self._tokens(sentences), chunk)
            else:
                vectors = self._frozen_sentences(sentences)
        return self.objective(batch, photos, vectors)  # type: ignore[no-any-return]

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


def _in_portions(embed: Callable[[Any], Tensor], values: Sequence[Any]) -> Float32Array:
    """Rows `[n, dim]` of so many values, a few at a time."""
    starts = range(0, len(values), PORTION)
    return torch.cat([embed(values[at : at + PORTION]).float().cpu() for at in starts]).numpy()


def embed_in_chunks(tower: Callable[[Tensor], Tensor], inputs: Tensor, chunk: int) -> Tensor:
    """Rows `[n, dim]` of inputs `[n, ...]`, `chunk` at a time; with 0, or where all fit into one, as if called.

    A contrastive loss needs the vectors of the whole batch, but only the vectors (Gao et al., 2021, "Scaling Deep
    Contrastive Learning Batch Size under Memory Limited Setup"): each chunk is a checkpoint, computed once more, with
    its graph, when its gradient is known. The gradients are those of one large batch, as long as the tower treats each
    input alone: not with batch normalisation that is still learning its statistics.
    """
    if not chunk or len(inputs) <= chunk or not torch.is_grad_enabled():
        return tower(inputs)
    rows = [checkpoint(tower, part, use_reentrant=False) for part in torch.split(inputs, chunk)]
    return torch.cat(rows)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options that every command has."""
    parser.add_argument("--config", type=Path, required=True, help="what is learned from, and how (TOML)")
    parser.add_argument("--data", type=Path, default=Path(), help="the folder that paths of data start from")
    parser.add_argument("--out", type=Path, required=True, help="where checkpoints, log, curve and encoder are written")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, mps ...")


def run(options: argparse.Namespace) -> None:
    """Trains by the command's options, going on where `--out` holds a run that was cut off, and writes the encoder.

    `report.json` holds the encoder's name, its measures in percent before and after, and the chosen point of the line
    between both. Raises `DescryError` for what is wrong.
    """
    require_matplotlib()
    began, out = time.monotonic(), options.out
    settings = read_settings(options.config, command=options.command)
    trainer = _trainer(settings, options.command, options.data, out, options.device)
    start = weights_of(trainer.towers)
    rank, scale = settings.adapters.rank, settings.adapters.scale
    if rank and not sum(adapt(tower, rank, scale) for tower in trainer.towers.values()):
        raise TrainingError("adapters.rank: the free towers have no matrices to adapt; set it to 0.")
    before = trainer.measure()
    out.mkdir(parents=True, exist_ok=True)
    (out / SETTINGS).write_text(_as_text(settings, len(trainer.examples)), encoding="utf-8")
    trainer.train()
    for tower in trainer.towers.values():
        merge(tower)
    part: float = 1
    line: list[tuple[float, float]] = []
    if settings.line.points:
        part, line = choose_on_line(trainer.towers, start, settings.line.points, lambda: trainer.measure()["score"])
    encoder = trainer.model.save((out / ENCODER).resolve(), trainer.objective.similarity)
    minutes, after = round((time.monotonic() - began) / 60, 2), trainer.measure()
    report = {"encoder": encoder, "before": before, "after": after, "part": part, "line": line, "minutes": minutes}
    (out / REPORT).write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    measures = {name: name.replace("_", " ") for name in after if name.endswith(("_r10", "top_1", "score"))}
    draw_curve(out / LOG, out / CURVE, losses=list(trainer.objective.weights), measures=measures)
    print(f"score {before['score']:.1f} -> {after['score']:.1f} in {minutes:.1f} minutes")
    print(f"use it: descry index PHOTOS --model {encoder}")
    for point, score in line:
        print(f"{point:.2f} of the way: score {score:.1f}{' (chosen)' if point == part else ''}")


def _trainer(settings: Settings, command: str, data: Path, out: Path, device: str) -> Trainer:
    """Everything read and checked: settings of an earlier run, data, models, teacher."""
    examples = [example for source in settings.train for example in read_source(source, data)]
    prefixes = [f"{number}/" for number in range(1, 1 + len(settings.validation))] if settings.validation[1:] else [""]
    validation = [
        ValidationSet(read_source(source, data), prefix)
        for source, prefix in zip(settings.validation, prefixes, strict=True)
    ]
    _same_settings(settings, len(examples), out)
    check_photos([*examples, *(example for each in validation for example in each.examples)], settings.learning.workers)
    torch.manual_seed(settings.seed)
    chosen = pick_device(device)
    model = load_model(settings.model)
    teaching, teacher, classifier = settings.teacher, None, None
    if teaching.encoder:
        teacher = EncoderTeacher(load_encoder(teaching.encoder, device=device), examples)
        if teaching.classifier:
            classifier = read_classifier(teacher, data / teaching.classifier, data / teaching.classes)
    objective = Objective(
        settings.contrast,
        model.similarity,
        dimension=model.dimension,
        teaching=teaching,
        teacher=teacher,
        classifier=classifier,
    )
    return Trainer(model, objective, examples, validation, settings, out, chosen, command)


def _same_settings(settings: Settings, photos: int, out: Path) -> None:
    """Raises `DataError` naming what differs from the settings with which a run in this folder was begun."""
    path = out / SETTINGS
    if not path.is_file():
        return
    former, now = json.loads(path.read_text(encoding="utf-8")), json.loads(_as_text(settings, photos))
    different = [name for name in now if now[name] != former.get(name)]
    if different:
        raise DataError(
            f"{out} holds a run with other settings ({', '.join(different)}); give another --out, or the former ones."
        )


def _as_text(settings: Settings, photos: int) -> str:
    return json.dumps({**asdict(settings), "photos": photos}, indent=1) + "\n"
