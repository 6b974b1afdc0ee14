"""The loop keeps the best weights, ends when nothing gets better, and goes on where it was cut off."""

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from training.data import Sampler
from training.loop import Loop, Plan, TrainingError


class Walk:
    """One number that is drawn towards 1; the score of each check is given."""

    def __init__(self, folder: Path, scores: list[float], *, steps: int = 12, patience: int = 0) -> None:
        torch.manual_seed(0)
        self.layer = nn.Linear(1, 1, bias=False)
        self.layer.weight.data.zero_()
        plan = Plan(steps, 1, {"layer": 0.1}, average=0.0, check_every=2, best="score", patience=patience)
        self.loop = Loop({"layer": self.layer}, plan, folder, name="walk")
        self.scores, self.checked = iter(scores), []

    def run(self, losses=None) -> float:
        self.loop.run(losses or self.losses, check=self.check, sampler=Sampler(0))
        return self.layer.weight.item()

    def losses(self, _: int) -> dict[str, torch.Tensor]:
        return {"far": (self.layer.weight - 1).square().sum()}

    def check(self) -> dict[str, float]:
        self.checked.append(self.layer.weight.item())
        return {"score": next(self.scores)}


def test_the_best_weights_are_what_is_left(tmp_path):
    walk = Walk(tmp_path, [1, 5, 3, 2, 4, 4])
    assert walk.run() == walk.checked[1] != walk.checked[-1]
    assert (tmp_path / "walk.best.pt").is_file()


def test_training_ends_when_nothing_gets_better(tmp_path):
    walk = Walk(tmp_path, [1, 5, 3, 2, 99, 99], patience=2)
    # two checks after the best one, and the last one of every run
    walk.scores = iter([1, 5, 3, 2, 2])
    walk.run()
    assert walk.loop.step == 8
    assert walk.layer.weight.item() == walk.checked[1]


def test_a_run_that_ended_is_not_begun_again(tmp_path):
    first = Walk(tmp_path, [1, 5, 3, 2, 2], patience=2).run()
    again = Walk(tmp_path, [2], patience=2)
    assert again.run() == first
    assert again.loop.step == 8


def test_a_run_that_was_cut_off_remembers_its_best_and_writes_no_line_twice(tmp_path):
    whole = Walk(tmp_path / "whole", [1, 9, 3, 2, 4, 4])
    expected = whole.run()
    cut = Walk(tmp_path / "cut", [1, 9, 3])

    def losses(step: int) -> dict[str, torch.Tensor]:
        if step == 7:
            raise KeyboardInterrupt
        return cut.losses(step)

    with pytest.raises(KeyboardInterrupt):
        cut.run(losses)
    assert Walk(tmp_path / "cut", [2, 4, 4]).run() == expected
    logs = [(tmp_path / name / "log.jsonl").read_text().splitlines() for name in ("whole", "cut")]
    assert [json.loads(line)["step"] for line in logs[0]] == [json.loads(line)["step"] for line in logs[1]]


def test_without_a_measure_to_go_by_the_last_weights_are_left(tmp_path):
    walk = Walk(tmp_path, [9, 1, 1, 1, 1, 1])
    walk.loop.plan = Plan(12, 1, {"layer": 0.1}, average=0.0, check_every=2)
    assert walk.run() == walk.checked[-1]
    assert not (tmp_path / "walk.best.pt").exists()


def test_a_loss_that_is_not_a_number_ends_training_before_it_does_harm(tmp_path):
    walk = Walk(tmp_path, [1] * 9)
    with pytest.raises(TrainingError, match="not a number at step 3"):
        walk.run(lambda step: {"far": walk.losses(step)["far"] * (float("nan") if step == 3 else 1)})
    assert torch.isfinite(walk.layer.weight).all()
