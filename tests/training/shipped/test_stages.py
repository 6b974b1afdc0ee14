"""`python -m training shipped` as a user runs it, on drawn photos: all stages, going on, what it refuses."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from indexer.encoders import load_encoder
from training.__main__ import main
from training.loop import Plan, rate


def train(world: Path, stage: str | None = None, out: str = "out") -> int:
    only = ["--stage", stage] if stage else []
    arguments = ["shipped", *only, "--config", "recipe.toml", "--data", "data", "--models", "models", "--out", out]
    return main([str(world / part) if part in ("recipe.toml", "data", "models", out) else part for part in arguments])


def log(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def test_one_command_makes_an_encoder_with_its_log_and_curve(world, capsys):
    assert train(world) == 0
    folder = world / "out" / "encoder"
    assert {path.name for path in folder.iterdir()} >= {"config.json", "model.safetensors", "curve.png"}
    encoder = load_encoder(f"embedded:{folder}", device="cpu")
    photos = encoder.embed("image", [Image.new("RGB", (50, 40), "red")])
    assert photos.shape == encoder.embed("text", ["a red photo"]).shape == (1, 12)
    assert {line["stage"] for line in log(world / "out")} == {"begin", "finetune_0", "finetune_1", "answer", "join"}
    assert "seconds_a_step" in capsys.readouterr().out


def test_a_run_that_was_cut_off_goes_on_to_the_same_numbers(world, monkeypatch):
    train(world, "prepare")
    train(world, "begin")
    whole = torch.load(world / "out" / "begin.pt", weights_only=False)
    (world / "out" / "begin.pt").unlink()

    # Cut off after six of eight steps; the checkpoint of step four is what there is.
    from training import loop

    step = loop.Loop._step

    def cut_off(self, losses):
        if self.step == 6:
            raise KeyboardInterrupt
        return step(self, losses)

    monkeypatch.setattr(loop.Loop, "_step", cut_off)
    with pytest.raises(KeyboardInterrupt):
        train(world, "begin")
    monkeypatch.setattr(loop.Loop, "_step", step)
    assert train(world, "begin") == 0
    again = torch.load(world / "out" / "begin.pt", weights_only=False)
    for name, module in whole["modules"].items():
        for key, value in module.items():
            assert torch.equal(value, again["modules"][name][key]), (name, key)


def test_frozen_blocks_stay_as_they_were_and_the_others_learn(world):
    for stage in ("prepare", "begin", "finetune"):
        assert train(world, stage) == 0
    from training.features import read_mobilenet

    start = read_mobilenet(world / "models" / "image").weights
    learnt = torch.load(world / "out" / "finetune_0.pt", weights_only=False)["modules"]["trunk"]
    changed = {name for name, value in learnt.items() if not torch.equal(value, start[name])}
    assert changed
    assert not any(name.startswith("blocks.0.") for name in changed)


def test_what_is_learned_from_photos_is_the_mean_of_runs_that_drew_differently(world):
    for stage in ("prepare", "begin", "finetune_1"):
        assert train(world, stage) == 0
    alone = torch.load(world / "out" / "finetune_1.pt", weights_only=False)["modules"]["image"]
    assert not (world / "out" / "finetune_0.pt").exists()
    assert train(world, "finetune") == 0
    first, second, mean = (
        torch.load(world / "out" / f"{name}.pt", weights_only=False)["modules"]["image"]
        for name in ("finetune_0", "finetune_1", "finetune")
    )
    assert torch.equal(second["out.weight"], alone["out.weight"]), "a run that was made alone is not made again"
    assert not torch.equal(first["out.weight"], second["out.weight"])
    for key, value in mean.items():
        torch.testing.assert_close(value, 0.75 * first[key] + 0.25 * second[key])


@pytest.mark.parametrize(("stage", "before"), [("begin", "prepare"), ("finetune", "begin"), ("join", "finetune")])
def test_a_stage_whose_forerunner_has_not_run_says_which(world, capsys, stage, before):
    if before != "prepare":
        train(world, "prepare")
    assert train(world, stage) == 2
    assert f"python -m training shipped --stage {before}" in capsys.readouterr().err


def test_a_stage_that_does_not_exist_is_refused_with_those_that_do(world, capsys):
    assert train(world, "finetune_2") == 2
    assert "finetune_0, finetune_1" in capsys.readouterr().err


def test_a_missing_extra_is_named_before_anything_is_trained(world, capsys, monkeypatch):
    monkeypatch.setattr("training.loop.find_spec", lambda _name: None)
    assert train(world, out="bare") == 2
    assert "descry[training]" in capsys.readouterr().err
    assert not (world / "bare").exists()


def test_a_missing_photo_is_named_with_file_and_line_before_anything_is_trained(world, capsys):
    (world / "data" / "images" / "3.png").unlink()
    assert train(world, "prepare") == 2
    assert "captions.jsonl:4: the photo" in capsys.readouterr().err
    assert not (world / "out").exists()


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("check_every", "chekc_every", "begin.plan.chekc_every is not known"),
        ('reader = "labelled_tar"', 'reader = "tarball"', "no reader is called 'tarball'"),
        ("share = 0.6\n", "", "source.share is missing"),
        ("image = 1e-2", 'image = "fast"', "begin.plan.rates.image = 'fast' should be float"),
    ],
)
def test_a_recipe_that_says_something_wrong_is_refused_by_name(world, capsys, before, after, said):
    path = world / "recipe.toml"
    path.write_text(path.read_text().replace(before, after))
    assert train(world, "prepare") == 2
    assert said in capsys.readouterr().err


def test_words_that_share_a_class_cannot_compete(world, capsys):
    (world / "everyday.toml").write_text('[everyday]\n"red thing" = "1-2"\n"flower" = "1"\n')
    assert train(world, "prepare") == 2
    assert "classes [1] belong to two words" in capsys.readouterr().err


def test_a_checkpoint_of_another_shape_is_refused(world, capsys):
    train(world, "prepare")
    train(world, "begin")
    path = world / "recipe.toml"
    path.write_text(path.read_text().replace("text = 8", "text = 9").replace("steps = 8", "steps = 9"))
    assert train(world, "begin") == 2
    assert "another shape" in capsys.readouterr().err


def test_a_loss_that_is_not_a_number_names_the_step(world, capsys, monkeypatch):
    from training.shipped import stages

    train(world, "prepare")
    monkeypatch.setattr(stages, "word_choice", lambda *_: torch.tensor(np.nan))
    assert train(world, "begin") == 2
    assert "not a number at step 0" in capsys.readouterr().err
    assert not (world / "out" / "begin.pt").exists()


def test_the_learning_rate_rises_then_falls_to_nothing():
    plan = Plan(steps=100, batch=1, rates={}, warm_up=0.1)
    rates = [rate(step, plan) for step in range(100)]
    assert rates[:3] == pytest.approx([0.1, 0.2, 0.3])
    assert max(rates) == 1
    assert rates[-1] < 0.001
    assert rates[10:] == sorted(rates[10:], reverse=True)
