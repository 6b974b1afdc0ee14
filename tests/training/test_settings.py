"""Settings are complete, and what is wrong with a file is said before anything is computed."""

from pathlib import Path

import pytest

from evaluation.datasets import DataError
from training.settings import CONFIGS, DataSource, read_settings

LEAST = '[[train]]\npath = "a.jsonl"\n[[validation]]\npath = "a.jsonl"\nsplit = "val"\n'


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    return path


def test_a_file_that_names_only_its_data_is_enough(tmp_path):
    settings = read_settings(written(tmp_path, LEAST), command="contrastive")
    assert settings.train == (DataSource("a.jsonl"),)
    assert settings.validation == (DataSource("a.jsonl", split="val"),)
    assert settings.model.name == "embedded"


def test_a_command_changes_defaults_and_a_users_file_changes_both(tmp_path):
    path = written(tmp_path, LEAST + "[learning]\nepochs = 3\n[line]\npoints = 5\n")
    finetune, contrastive = (read_settings(path, command=command) for command in ("finetune", "contrastive"))
    assert finetune.learning.epochs == contrastive.learning.epochs == 3
    assert finetune.learning.image_rate < contrastive.learning.image_rate
    assert finetune.line.points == 5
    assert finetune.templates == contrastive.templates


def test_every_default_has_its_reason_beside_it_or_its_table_has():
    lines = (CONFIGS / "contrastive.toml").read_text().splitlines()
    learning = lines[lines.index("[learning]") + 1 : lines.index("[contrast]") - 1]
    assert [line for line in learning if "#" not in line and not line.startswith(("text_rate", "weight_decay"))] == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[learning]\nepohcs = 3\n", "learning.epohcs is not known; there are .*epochs"),
        ('[learning]\nepochs = "3"\n', "learning.epochs = '3' should be int"),
        ("[learning]\nepochs = 0\n", "at least 1"),
        ("[learning]\nbatch = 1\n", "batch should be at least 2"),
        ('[learning]\nprecision = "int8"\n', "auto, float32 or bfloat16"),
        ('[model]\nimage = "some"\n', "model.image and model.text should be all, none or a number"),
        ("[model]\nimage = -1\n", "model.image and model.text should be all, none or a number"),
        ('[contrast]\nloss = "hinge"\n', "infonce or sigmoid"),
        ("[line]\npoints = 1\n", "line.points"),
        ('[teacher]\nclassifier = "head.safetensors"\n', "belong together"),
        ("learning = 3\n", r"\[learning\] should be a table"),
        ("templates = 3\n", "templates should be a list"),
        ('templates = ["a photo"]\n', "templates should hold {}"),
        ("= 3\n", "cannot be read as a configuration"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, text, message):
    path = written(tmp_path, text + LEAST)
    with pytest.raises(DataError, match=message) as raised:
        read_settings(path, command="contrastive")
    assert str(path) in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("part", ["train", "validation"])
def test_data_to_learn_from_and_to_measure_on_has_to_be_named(tmp_path, part):
    tables = [table for table in LEAST.split("[[") if table and not table.startswith(part)]
    with pytest.raises(DataError, match=rf"{part}: no data is named; add a \[\[{part}\]\] table"):
        read_settings(written(tmp_path, "[[" + "[[".join(tables)), command="contrastive")


def test_a_reader_that_is_not_known_is_named_with_those_there_are(tmp_path):
    path = written(tmp_path, LEAST.replace('split = "val"', 'reader = "excel"'))
    with pytest.raises(DataError, match=r"no reader is called 'excel'; there are .*captions_jsonl"):
        read_settings(path, command="contrastive")


def test_distilling_needs_a_teacher(tmp_path):
    with pytest.raises(DataError, match=r"teacher\.encoder names no teacher"):
        read_settings(written(tmp_path, LEAST), command="distill")


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(DataError, match=r"nothing\.toml: cannot be read"):
        read_settings(tmp_path / "nothing.toml", command="contrastive")
