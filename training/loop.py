"""The training loop: schedule, step, average, checkpoint, log, curve. What a step computes is the caller's."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from indexer.atomic import atomic_write
from indexer.errors import DescryError


class TrainingError(DescryError):
    """Training that cannot go on; the message names the step and the remedy."""


@dataclass(frozen=True)
class Plan:
    """How long and how fast: `rates` are peak learning rates by the name of the module they are for.

    With `best`, the name of a measure, the weights of the check where it was highest are those that are left;
    after `patience` checks without a higher one training ends, 0 being never.
    """

    steps: int
    batch: int
    rates: Mapping[str, float]
    weight_decay: float = 0.05
    warm_up: float = 0.05
    clip: float = 1.0
    average: float = 0.995
    report_every: int = 25
    check_every: int = 300
    best: str = ""
    patience: int = 0


def rate(step: int, plan: Plan) -> float:
    """The part of the peak learning rate at a step: a linear warm-up, then half a cosine down to nothing."""
    warm = max(1, round(plan.warm_up * plan.steps))
    if step < warm:
        return (step + 1) / warm
    return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, plan.steps - warm)))


class Loop:
    """Trains modules by name, averages them, and can stop and go on from a checkpoint to the same numbers."""

    def __init__(self, modules: Mapping[str, nn.Module], plan: Plan, folder: Path, *, name: str) -> None:
        self.modules, self.plan, self.folder, self.name = dict(modules), plan, folder, name
        self.optimizer = torch.optim.AdamW(self._groups(), betas=(0.9, 0.98))
        self.average = {key: value.detach().clone() for key, value in self._trained().items()}
        self.step = 0
        self.highest, self.checks_since = float("-inf"), 0

    def run(
        self,
        losses: Callable[[int], dict[str, Tensor]],
        *,
        check: Callable[[], dict[str, float]],
        sampler: Any,
    ) -> None:
        """Runs what is left of the plan; afterwards the modules hold the averaged weights, or the best ones.

        `losses` draws the batch of a step and gives its losses by name; `check` measures on validation photos;
        checkpoints keep the state of `sampler`, a `data.Sampler` or `data.Ahead`. Raises `TrainingError` when a loss
        is not a number.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        if self.checkpoint.is_file():
            sampler.restore(self._load())
        began, done = time.monotonic(), self.step
        while self.step < self.plan.steps and not 0 < self.plan.patience <= self.checks_since:
            report = self._step(losses)
            if self.step % self.plan.report_every == 0 or self.step == self.plan.steps:
                report["seconds_a_step"] = (time.monotonic() - began) / (self.step - done)
                self._log(report)
            if self.step % self.plan.check_every == 0 and self.step < self.plan.steps:
                with self.averaged():
                    self._measure(check)
                self._save(sampler.state())
        self._use(self.average)
        self._measure(check)
        self._save(sampler.state())
        self._use_best()

    def _measure(self, check: Callable[[], dict[str, float]]) -> None:
        """Measures and logs the weights that the modules hold, and keeps them if they are the best so far."""
        measures = check()
        self._log(measures)
        if not self.plan.best:
            return
        self.checks_since += 1
        if measures[self.plan.best] > self.highest:
            self.highest, self.checks_since = measures[self.plan.best], 0
            modules = {name: module.state_dict() for name, module in self.modules.items()}
            save_atomic({"step": self.step, "modules": modules}, self.best_checkpoint)

    def _use_best(self) -> None:
        if self.plan.best and self.best_checkpoint.is_file():
            saved = torch.load(self.best_checkpoint, map_location="cpu")["modules"]
            for name, module in self.modules.items():
                module.load_state_dict(saved[name])

    def _step(self, losses: Callable[[int], dict[str, Tensor]]) -> dict[str, float]:
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak"] * rate(self.step, self.plan)
        parts = losses(self.step)
        total = torch.stack(list(parts.values())).sum()
        if not torch.isfinite(total):
            named = ", ".join(f"{name} {part.item():.3g}" for name, part in parts.items())
            raise TrainingError(
                f"{self.name}: the loss is not a number at step {self.step} ({named}); lower the learning rate and "
                f"run again: it goes on from {self.checkpoint}."
            )
        self.optimizer.zero_grad()
        total.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_([p for group in self.optimizer.param_groups for p in group["params"]], self.plan.clip)
        self.optimizer.step()
        self.step += 1
        self._follow()
        return {"loss": total.item(), **{name: part.item() for name, part in parts.items()}}

    def _groups(self) -> list[dict[str, Any]]:
        """Two groups a module: vectors and scalars (norms, biases, temperatures) are not decayed."""
        groups = []
        for name, module in self.modules.items():
            free = [p for p in module.parameters() if p.requires_grad]
            for decay, own in (
                (self.plan.weight_decay, [p for p in free if p.ndim > 1]),
                (0.0, [p for p in free if p.ndim <= 1]),
            ):
                peak = self.plan.rates[name]
                groups.append({"params": own, "peak": peak, "lr": peak, "weight_decay": decay})
        return [group for group in groups if group["params"]]

    def _trained(self) -> dict[str, Tensor]:
        return {
            f"{name}.{key}": parameter
            for name, module in self.modules.items()
            for key, parameter in module.named_parameters()
            if parameter.requires_grad
        }

    @torch.no_grad()
    def _follow(self) -> None:
        """Moves the average towards the weights, faster at the beginning, when they are still far from good."""
        weight = 1 - min(self.plan.average, self.step / (self.step + 10))
        for key, parameter in self._trained().items():
            self.average[key].lerp_(parameter, weight)

    @torch.no_grad()
    def _use(self, weights: Mapping[str, Tensor]) -> None:
        for key, parameter in self._trained().items():
            parameter.copy_(weights[key])

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """A context in which the modules hold the averaged weights."""
        kept = {key: value.detach().clone() for key, value in self._trained().items()}
        self._use(self.average)
        try:
            yield
        finally:
            self._use(kept)

    @property
    def checkpoint(self) -> Path:
        """Where this loop keeps what it needs to go on."""
        return self.folder / f"{self.name}.pt"

    @property
    def best_checkpoint(self) -> Path:
        """Where the best weights so far are kept, where a measure to know them by is named."""
        return self.folder / f"{self.name}.best.pt"

    def _save(self, state: Any) -> None:
        modules = {name: module.state_dict() for name, module in self.modules.items()}
        everything = {"step": self.step, "modules": modules, "average": self.average, "state": state}
        everything |= {"best": (self.highest, self.checks_since), "optimizer": self.optimizer.state_dict()}
        save_atomic(everything | {"torch": torch.get_rng_state()}, self.checkpoint)

    def _load(self) -> Any:
        # Our own file, and it holds the states of Python's and numpy's generators beside tensors.
        saved = torch.load(self.checkpoint, weights_only=False, map_location="cpu")
        try:
            for name, module in self.modules.items():
                module.load_state_dict(saved["modules"][name])
        except (RuntimeError, KeyError) as error:
            raise TrainingError(
                f"{self.checkpoint} belongs to models of another shape; move it away or train with its configuration."
            ) from error
        self.optimizer.load_state_dict(saved["optimizer"])
        self.average = {key: value.to(self.average[key].device) for key, value in saved["average"].items()}
        self.step = saved["step"]
        self.highest, self.checks_since = saved.get("best", (self.highest, self.checks_since))
        torch.set_rng_state(saved["torch"])
        self._forget_later_lines()
        return saved["state"]

    def _forget_later_lines(self) -> None:
        """Takes out of the log what was written after the checkpoint: it comes again."""
        log = self.folder / "log.jsonl"
        lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()] if log.is_file() else []
        kept = [line for line in lines if line["stage"] != self.name or line["step"] <= self.step]
        log.write_text("".join(json.dumps(line) + "\n" for line in kept), encoding="utf-8")

    def _log(self, values: Mapping[str, float]) -> None:
        write_log(self.folder / "log.jsonl", self.name, self.step, values)


def write_log(log: Path, stage: str, step: int, values: Mapping[str, float]) -> None:
    """Adds a line to a run's log, and shows it."""
    line = {"stage": stage, "step": step, **{name: round(value, 4) for name, value in values.items()}}
    with log.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")
    print(json.dumps(line), flush=True)


def save_atomic(everything: dict[str, Any], path: Path) -> None:
    """`torch.save`, whole or not at all."""
    with atomic_write(path) as new:
        torch.save(everything, new)


def require_matplotlib() -> None:
    """Raises `DescryError` where the curve could not be drawn: better before hours of training than behind them."""
    if find_spec("matplotlib") is None:
        raise DescryError("Training draws its curve with matplotlib, an extra: pip install 'descry[training]'.")


def draw_curve(log: Path, picture: Path, *, losses: Sequence[str], measures: Mapping[str, str]) -> None:
    """Draws the losses and the validation measures of `log.jsonl` over the steps of all stages in a row."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    lines, borders = in_a_row([json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()])
    figure, (above, below) = pyplot.subplots(2, 1, sharex=True, figsize=(9, 7), layout="constrained")
    for axes, labels in ((above, {name: f"{name} loss" for name in losses}), (below, measures)):
        for name, label in labels.items():
            points = [(line["at"], line[name]) for line in lines if name in line]
            axes.plot(*zip(*points, strict=True), marker="." if axes is above else "o", label=label, linewidth=1)
        axes.legend()
        axes.grid(alpha=0.3)
        for stage, at in borders:
            axes.axvline(at, color="grey", linewidth=0.7)
            axes.annotate(stage, (at, 1), xycoords=("data", "axes fraction"), va="top", fontsize=8)
    below.set_xlabel("step")
    figure.savefig(picture, dpi=90)
    pyplot.close(figure)


def in_a_row(lines: Sequence[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[tuple[str, int]]]:
    """The lines with `at`, a step that counts on through the stages, and where each stage begins.

    >>> in_a_row([{"stage": "a", "step": 2}, {"stage": "b", "step": 1}])[1]
    [('a', 0), ('b', 2)]
    """
    borders: list[tuple[str, int]] = []
    placed, before, last = [], 0, 0
    for line in lines:
        if not borders or borders[-1][0] != line["stage"]:
            before = last
            borders.append((line["stage"], before))
        last = before + line["step"]
        placed.append({**line, "at": last})
    return placed, borders
