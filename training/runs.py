"""A whole run, whichever command began it: read, check, train, choose, write. Nothing is written before all is read."""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from evaluation.datasets import DataError, Example
from indexer.encoders import load_encoder
from indexer.encoders.devices import pick_device
from training.curve import draw_curve, require_matplotlib
from training.loop import TrainingError
from training.low_rank import adapt, merge
from training.models import load_model
from training.objective import Features, Names, Objective, Pairs, Similarities, Term
from training.pairs import check_photos, read_source
from training.settings import DataSource, Settings, Teaching, read_settings
from training.teachers import EncoderTeacher, read_classifier
from training.trainer import Trainer
from training.validation import ValidationSet
from training.weight_space import choose_on_line, weights_of

SETTINGS, LOG, CURVE, REPORT, ENCODER = "settings.json", "log.jsonl", "curve.png", "report.json", "encoder"


@dataclass(frozen=True, slots=True)
class Result:
    """What a run made: the encoder's name for `descry index --model`, and how good it was before and is now.

    `before` and `after` are measures in percent; `part` is the chosen point of the line between both, 1 where no line
    was drawn.
    """

    encoder: str
    before: dict[str, float]
    after: dict[str, float]
    part: float
    line: list[tuple[float, float]]
    minutes: float


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options that every command has."""
    parser.add_argument("--config", type=Path, required=True, help="what is learned from, and how (TOML)")
    parser.add_argument("--data", type=Path, default=Path(), help="the folder that paths of data start from")
    parser.add_argument("--out", type=Path, required=True, help="where checkpoints, log, curve and encoder are written")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, mps ...")


def run_command(command: str, options: argparse.Namespace) -> Result:
    """Runs a command from its options and says what came out. Raises `DescryError` for what is wrong."""
    require_matplotlib()
    settings = read_settings(options.config, command=command)
    result = run(settings, command, data=options.data, out=options.out, device=options.device)
    print(f"score {result.before['score']:.1f} -> {result.after['score']:.1f} in {result.minutes:.1f} minutes")
    print(f"use it: descry index PHOTOS --model {result.encoder}")
    return result


def run(settings: Settings, command: str, *, data: Path, out: Path, device: str = "auto") -> Result:
    """Trains as the settings say, going on where `out` holds a run that was cut off, and writes the encoder."""
    began = time.monotonic()
    trainer = _trainer(settings, command, data, out, device)
    start = weights_of(trainer.towers)
    _adapted(trainer)
    before = trainer.measure()
    _begin(settings, len(trainer.examples), out)
    trainer.train()
    for tower in trainer.towers.values():
        merge(tower)
    part, line = _on_line(trainer, start)
    encoder = trainer.model.save((out / ENCODER).resolve(), trainer.objective.similarity)
    minutes = (time.monotonic() - began) / 60
    result = Result(encoder, before, trainer.measure(), part, line, round(minutes, 2))
    (out / REPORT).write_text(json.dumps(asdict(result), indent=1) + "\n", encoding="utf-8")
    measures = {name: name.replace("_", " ") for name in result.after if name.endswith(("_r10", "top_1", "score"))}
    draw_curve(out / LOG, out / CURVE, losses=list(trainer.objective.terms), measures=measures)
    return result


def _trainer(settings: Settings, command: str, data: Path, out: Path, device: str) -> Trainer:
    """Everything read and checked: settings of an earlier run, data, models, teacher."""
    examples = [example for source in settings.train for example in read_source(source, data)]
    validation = _validation(settings.validation, data)
    _same_settings(settings, len(examples), out)
    check_photos([*examples, *(example for each in validation for example in each.examples)], settings.learning.workers)
    torch.manual_seed(settings.seed)
    chosen = pick_device(device)
    model = load_model(settings.model)
    terms = [(1.0, Pairs(settings.contrast.loss)), *_taught(settings.teacher, examples, data, device, model.dimension)]
    alpha = settings.teacher.alpha if len(terms) > 1 else 0.0
    weighed: list[tuple[float, Term]] = [(1 - alpha, terms[0][1]), *((alpha * w, term) for w, term in terms[1:])]
    objective = Objective(weighed, settings.contrast, model.similarity)
    return Trainer(model, objective, examples, validation, settings, out, chosen, command)


def _validation(sources: tuple[DataSource, ...], data: Path) -> list[ValidationSet]:
    several = len(sources) > 1
    return [
        ValidationSet(read_source(source, data), f"{number}/" if several else "")
        for number, source in enumerate(sources, start=1)
    ]


def _taught(
    teaching: Teaching, examples: list[Example], data: Path, device: str, dimension: int
) -> list[tuple[float, Term]]:
    """The terms by which a teacher speaks; none without one."""
    if not teaching.encoder:
        return []
    teacher = EncoderTeacher(load_encoder(teaching.encoder, device=device), examples)
    terms: list[tuple[float, Term]] = [
        (teaching.similarities, Similarities(teacher, scale=teaching.scale, temperature=teaching.temperature)),
        (teaching.features, Features(teacher, dimension)),
    ]
    if teaching.classifier:
        classifier = read_classifier(teacher, data / teaching.classifier, data / teaching.classes)
        named = Names(classifier, a_step=teaching.names_a_step, temperature=teaching.temperature)
        terms.append((teaching.names, named))
    return [(weight, term) for weight, term in terms if weight]


def _adapted(trainer: Trainer) -> None:
    """Puts adapters into both towers if they are wanted."""
    adapters = trainer.settings.adapters
    if adapters.rank:
        count = sum(adapt(tower, adapters.rank, adapters.scale) for tower in trainer.towers.values())
        if not count:
            raise TrainingError("adapters.rank: the free towers have no matrices to adapt; set it to 0.")


def _on_line(trainer: Trainer, before: Any) -> tuple[float, list[tuple[float, float]]]:
    """Moves the model to the best point between before and now, if a line is wanted."""
    if not trainer.settings.line.points:
        return 1.0, []
    return choose_on_line(trainer.towers, before, trainer.settings.line.points, lambda: trainer.measure()["score"])


def _begin(settings: Settings, photos: int, out: Path) -> None:
    """Writes down what a later run has to agree with to go on."""
    out.mkdir(parents=True, exist_ok=True)
    (out / SETTINGS).write_text(_as_text(settings, photos), encoding="utf-8")


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
