"""`python -m training contrastive|finetune|distill` as a user runs them, on a few dozen drawn photos."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.numpy import save_file

from indexer import Library, index_sources, load_encoder
from search import Engine, parse
from training.loop import Loop
from training.objective import Objective


def report(folder: Path) -> dict:
    return json.loads((folder / "report.json").read_text())


def weights(folder: Path) -> bytes:
    return (folder / "encoder" / "open_clip_model.safetensors").read_bytes()


def log(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def test_an_encoder_is_trained_from_nothing_and_a_library_is_made_and_searched_with_it(gallery, train, capsys):
    assert train("contrastive", "learning.epochs = 14\nlearning.image_rate = 5e-3\nlearning.text_rate = 5e-3") == 0
    out = gallery / "out"
    told = report(out)
    assert told["after"]["score"] > told["before"]["score"] + 10
    assert {path.name for path in out.iterdir()} >= {"contrastive.pt", "contrastive.best.pt", "curve.png", "log.jsonl"}
    with Image.open(out / "curve.png") as curve:
        assert curve.width > 500
    assert f"--model {told['encoder']}" in capsys.readouterr().out

    encoder = load_encoder(told["encoder"], device="cpu")
    with Library.create(gallery / "library", encoder) as library:
        assert index_sources(library, [gallery / "images"], encoder).embedded == 32
        hits = Engine(library, encoder).search(parse("a red photo: everything is red", k=4))
        assert {int(hit.item.path.stem) % 4 for hit in hits} == {0}


def test_a_run_that_was_cut_off_goes_on_to_the_same_numbers(gallery, train, monkeypatch):
    more = "learning.chunk = 3\naugment = true"
    assert train("contrastive", more, out="whole") == 0
    step = Loop._step

    def cut_off(self, losses):
        if self.step == 8:
            raise KeyboardInterrupt
        return step(self, losses)

    monkeypatch.setattr(Loop, "_step", cut_off)
    with pytest.raises(KeyboardInterrupt):
        train("contrastive", more)
    monkeypatch.setattr(Loop, "_step", step)
    assert not (gallery / "out" / "encoder").exists()
    assert train("contrastive", more) == 0
    assert weights(gallery / "out") == weights(gallery / "whole")
    measures = [[line for line in log(gallery / name) if "score" in line] for name in ("out", "whole")]
    assert measures[0] == measures[1]


def test_another_seed_gives_another_model_and_chunks_of_a_batch_the_same(gallery, train):
    plain = 'augment = false\nlearning.epochs = 1\nmodel.text = "none"'
    for name, more in {"one": "seed = 1", "two": "seed = 2", "chunked": "seed = 1\nlearning.chunk = 3"}.items():
        assert train("contrastive", f"{plain}\n{more}", out=name) == 0
    losses = {
        name: [line["loss"] for line in log(gallery / name) if "loss" in line] for name in ("one", "two", "chunked")
    }
    assert losses["one"] != losses["two"]
    assert losses["one"] == pytest.approx(losses["chunked"], abs=2e-4)


def test_the_sigmoid_loss_learns_its_bias_and_hands_it_over(gallery, train):
    assert train("contrastive", 'contrast.loss = "sigmoid"\nlearning.precision = "bfloat16"') == 0
    config = json.loads((gallery / "out" / "encoder" / "open_clip_config.json").read_text())
    assert config["model_cfg"]["init_logit_bias"] != -10
    assert config["model_cfg"]["init_logit_bias"] == pytest.approx(-10, abs=1)


def test_captions_and_labels_are_learned_from_and_measured_together(labelled, train):
    path = labelled / "mine.toml"
    tables = '[[train]]\npath = "labelled.tar"\nreader = "labelled_tar"\n'
    tables += '[[validation]]\npath = "labelled.tar"\nreader = "labelled_tar"\nsplit = "val"\n'
    path.write_text(path.read_text() + tables)
    assert train("contrastive", "learning.epochs = 1") == 0
    after = report(labelled / "out")["after"]
    assert {"1/text_to_image_r10", "2/top_1", "score"} <= set(after)


@pytest.fixture
def before(gallery, train) -> str:
    """The name of a model that has learned a little."""
    assert train("contrastive", "learning.epochs = 2", out="before") == 0
    return report(gallery / "before")["encoder"]


def fine(name: str, *more: str) -> str:
    return "\n".join([f'model.name = "{name}"', 'model.weights = "own"', *more])


def test_fine_tuning_all_weights_ends_at_the_best_point_of_the_line(gallery, train, before, capsys):
    assert train("finetune", fine(before, "line.points = 3", "learning.epochs = 2")) == 0
    told = report(gallery / "out")
    scores = dict(map(tuple, told["line"]))
    assert set(scores) == {0.0, 0.5, 1.0}
    assert told["after"]["score"] == pytest.approx(max(scores.values()))
    assert scores[0.0] == pytest.approx(told["before"]["score"])
    assert scores[told["part"]] == max(scores.values())
    assert "(chosen)" in capsys.readouterr().out


def test_fine_tuning_the_last_layers_leaves_the_others_alone(gallery, train, before):
    assert train("finetune", fine(before, "line.points = 0", "model.image = 1", 'model.text = "none"')) == 0
    changed = differences(before, report(gallery / "out")["encoder"])
    assert changed == {"visual.proj", "logit_scale"}


def test_adapters_are_merged_into_weights_of_low_rank(gallery, train, before):
    more = ("line.points = 0", "adapters.rank = 2", "learning.epochs = 1")
    assert train("finetune", fine(before, *more)) == 0
    after = report(gallery / "out")["encoder"]
    changed = differences(before, after)
    assert "visual.transformer.resblocks.0.attn.in_proj_weight" in changed
    assert all(name.endswith("weight") or name == "logit_scale" for name in changed)
    name = "transformer.resblocks.1.mlp.c_fc.weight"
    difference = state(after)[name] - state(before)[name]
    assert torch.linalg.matrix_rank(difference, rtol=1e-3) == 2


def state(name: str) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return load_file(Path(name.removeprefix("open_clip:")) / "open_clip_model.safetensors")


def differences(one: str, other: str) -> set[str]:
    first, second = state(one), state(other)
    assert set(first) == set(second)
    return {name for name in first if not torch.equal(first[name], second[name])}


def test_the_shipped_encoder_is_adapted_and_served(gallery, train):
    more = 'model.name = "embedded"\nmodel.weights = "own"\nmodel.image = 1\nmodel.text = 1\nlearning.epochs = 1'
    assert train("contrastive", more) == 0
    name = report(gallery / "out")["encoder"]
    own, adapted = load_encoder("embedded"), load_encoder(name, device="cpu")
    assert name.startswith("embedded:")
    assert adapted.checksum != own.checksum
    vectors = [encoder.embed("text", ["a red photo"]) for encoder in (own, adapted)]
    assert 0 < float((vectors[0] * vectors[1]).sum()) < 0.9999


@pytest.fixture
def teacher(monkeypatch) -> str:
    """The encoder of colours, which knows all that there is to know of these photos, under a name."""
    from indexer.testing import color_encoder

    monkeypatch.setattr("training.trainer.load_encoder", lambda name, **_: color_encoder(name=name))
    return 'teacher.encoder = "colors"'


def test_a_student_learns_from_a_teacher_alone(gallery, train, teacher):
    assert train("distill", f"{teacher}\nteacher.alpha = 1.0\nlearning.epochs = 8") == 0
    told = report(gallery / "out")
    assert told["after"]["score"] > told["before"]["score"] + 10
    parts = next(line for line in log(gallery / "out") if "loss" in line)
    assert parts["pairs"] == 0
    assert parts["loss"] == pytest.approx(parts["similarities"] + parts["features"], abs=1e-3)


def test_alpha_weighs_teacher_against_pairs(gallery, train, teacher):
    first = {}
    for alpha in (0.25, 0.75):
        assert train("distill", f"{teacher}\nteacher.alpha = {alpha}\nlearning.epochs = 1", out=str(alpha)) == 0
        first[alpha] = log(gallery / str(alpha))[0]
    # After three steps at a small rate both runs have gone nearly the same way.
    assert first[0.25]["pairs"] == pytest.approx(3 * first[0.75]["pairs"], rel=0.2)
    assert first[0.75]["similarities"] == pytest.approx(3 * first[0.25]["similarities"], rel=0.2)


def test_a_classifier_teaches_its_names(gallery, train, teacher):
    # The colour encoder's vectors are red, green, blue and a constant: these rows tell its colours apart.
    head = np.array([[9, -9, -9, 0], [-9, 9, -9, 0], [-9, -9, 9, 0], [6, 6, -9, 0]], np.float32)
    save_file({"weight": head}, gallery / "head.safetensors")
    (gallery / "classes.txt").write_text("red wall\ngreen wall\nblue wall\nyellow wall\n")
    named = 'teacher.classifier = "head.safetensors"\nteacher.classes = "classes.txt"'
    assert train("distill", f"{teacher}\n{named}\nlearning.epochs = 8\nteacher.names_a_step = 3") == 0
    losses = [line["names"] for line in log(gallery / "out") if "names" in line]
    assert losses[-1] < losses[0]


def test_a_classifier_of_another_shape_is_refused(gallery, train, teacher, capsys):
    save_file({"weight": np.zeros((4, 9), np.float32)}, gallery / "head.safetensors")
    (gallery / "classes.txt").write_text("red wall\ngreen wall\n")
    named = 'teacher.classifier = "head.safetensors"\nteacher.classes = "classes.txt"'
    assert train("distill", f"{teacher}\n{named}") == 2
    assert "`weight` is [4, 9], but" in capsys.readouterr().err
    (gallery / "classes.txt").write_text("red wall\n\n")
    assert train("distill", f"{teacher}\n{named}") == 2
    assert "classes.txt:2: no class name" in capsys.readouterr().err
    (gallery / "classes.txt").write_text("red wall\n")
    assert train("distill", f"{teacher}\n{named}") == 2
    assert "classes.txt: fewer than two classes" in capsys.readouterr().err
    assert not (gallery / "out").exists()


@pytest.mark.parametrize("command", ["contrastive", "finetune"])
def test_a_missing_photo_is_named_with_file_and_line_and_nothing_is_written(gallery, train, command, capsys):
    (gallery / "images" / "3.png").unlink()
    assert train(command) == 2
    assert "captions.jsonl:4: the photo" in capsys.readouterr().err
    assert not (gallery / "out").exists()


def test_an_empty_caption_is_named_with_file_and_line(gallery, train, capsys):
    path = gallery / "captions.jsonl"
    path.write_text(path.read_text().replace("everything is green", " ", 1))
    assert train("contrastive") == 2
    assert "captions.jsonl:2: an empty caption" in capsys.readouterr().err
    assert not (gallery / "out").exists()


def test_a_folder_with_a_run_of_other_settings_is_not_gone_on_with(train, capsys):
    assert train("contrastive", "learning.epochs = 1") == 0
    assert train("contrastive", "learning.epochs = 2\nseed = 5") == 2
    assert "other settings (seed, learning); give another --out" in capsys.readouterr().err


def test_a_checkpoint_of_another_shape_is_refused(gallery, train, capsys):
    assert train("contrastive", "learning.epochs = 1") == 0
    path = gallery / "tiny-clip.json"
    path.write_text(path.read_text().replace('"embed_dim": 16', '"embed_dim": 8'))
    assert train("contrastive", "learning.epochs = 1") == 2
    assert "belongs to models of another shape" in capsys.readouterr().err


def test_a_loss_that_is_not_a_number_ends_the_run_and_no_encoder_is_written(gallery, train, capsys, monkeypatch):
    good = Objective.forward
    monkeypatch.setattr(
        Objective, "forward", lambda *given: {name: loss * np.nan for name, loss in good(*given).items()}
    )
    assert train("contrastive") == 2
    assert "not a number at step 0 (pairs nan); lower the learning rate" in capsys.readouterr().err
    assert not (gallery / "out" / "encoder").exists()
    assert not (gallery / "out" / "contrastive.pt").exists()
