"""Encoders side by side: the columns, and the table that people see."""

import json
import shutil
import tarfile
from io import BytesIO

import pytest
from PIL import Image

from evaluation.__main__ import main
from evaluation.compare import labelled_sets, side_by_side
from evaluation.datasets import DataError
from indexer import shipped


@pytest.fixture
def data(tmp_path):
    """Three captioned photos, and two labelled ones of which the first is held out."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "labelled").mkdir()
    rows = []
    with tarfile.open(tmp_path / "labelled" / "things.tar", "w") as tar:
        for name, caption in (("cat", "a cat"), ("coffee", "a cup of coffee"), ("rocket", "a rocket launch")):
            buffer = BytesIO()
            Image.open(shipped("photos", f"{name}.jpg")).convert("RGB").resize((256, 256)).save(buffer, "JPEG")
            (tmp_path / "mine" / f"{name}.jpg").write_bytes(buffer.getvalue())
            rows.append(json.dumps({"image": f"{name}.jpg", "captions": [caption], "split": "val"}))
            for suffix, content in (("jpg", buffer.getvalue()), ("txt", name.encode())):
                info = tarfile.TarInfo(f"{name}.{suffix}")
                info.size = len(content)
                tar.addfile(info, BytesIO(content))
    (tmp_path / "mine" / "captions.jsonl").write_text("\n".join(rows))
    return tmp_path


def test_each_encoder_is_a_column_of_the_same_measures(data, capsys):
    copy = shutil.copytree(shipped("models", "embedded"), data / "copy")
    twice = f"ensemble:embedded+embedded:{copy}"
    options = ["compare", "--data", str(data), "--set", "mine", "--device", "cpu", "--against", twice]
    assert main([*options, "--json"]) == 0
    columns = json.loads(capsys.readouterr().out)
    assert list(columns) == ["embedded", twice]
    alone, together = columns.values()
    assert list(alone) == list(together)
    assert alone["text->image R@1"] == alone["image->text R@10"] == 100
    assert alone["things top-1"] == 100
    assert together["dimension"] == 2 * alone["dimension"]
    # two times the same is the same again
    assert {row: together[row] for row in alone if "R@" in row} == {row: alone[row] for row in alone if "R@" in row}


def test_people_see_one_row_a_measure_and_one_column_an_encoder():
    table = side_by_side({"a": {"R@1": 12.345, "dimension": 256.0}, "b": {"R@1": 7.0, "dimension": 32.0}})
    lines = table.splitlines()
    assert lines[1].split() == ["R@1", "12.3", "7.0"]
    assert lines[2].split() == ["dimension", "256", "32"]
    assert len({len(line) for line in lines[:3]}) == 1
    assert lines[-2:] == ["1: a", "2: b"]


def test_a_name_that_no_encoder_has_is_refused_before_anything_is_measured(data, capsys):
    assert main(["compare", "--data", str(data), "--set", "mine", "--against", "embeded"]) == 2
    assert "No encoder is called 'embeded'" in capsys.readouterr().err


def test_labelled_sets_go_by_their_names(data, tmp_path):
    assert list(labelled_sets(data)) == ["things"]
    assert labelled_sets(tmp_path / "nowhere") == {}
    (data / "labelled" / "broken.tar").write_bytes(b"nothing")
    with pytest.raises(DataError, match=r"broken\.tar"):
        labelled_sets(data)
