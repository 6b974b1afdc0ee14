"""`python -m evaluation` with the shipped encoder: the demo, a small captioned set, and what it refuses."""

import io
import json
import tarfile

import numpy as np
import pytest
from PIL import Image

from evaluation.__main__ import main
from evaluation.classify import Classification, phrases
from evaluation.questions import HERE
from indexer import shipped


def measured(capsys, *arguments: object) -> dict:
    assert main([str(argument) for argument in (*arguments, "--json", "--device", "cpu")]) == 0
    return json.loads(capsys.readouterr().out)


def test_at_least_ten_of_the_fifteen_demo_queries_find_their_photo_first(capsys):
    table = measured(capsys, "demo")
    assert table["queries"] == 15
    assert table["right first"] >= 10


def test_retrieval_measures_both_ways(capsys, tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    rows = []
    for name, caption in (("cat", "a cat"), ("coffee", "a cup of coffee"), ("rocket", "a rocket launch")):
        Image.open(shipped("photos", f"{name}.jpg")).save(folder / f"{name}.jpg")
        rows.append(json.dumps({"image": f"{name}.jpg", "captions": [caption], "split": "val"}))
    (folder / "captions.jsonl").write_text("\n".join(rows))
    table = measured(capsys, "retrieval", "--data", tmp_path, "--set", "mine")
    assert table["photos"] == table["captions"] == 3
    assert table["text_to_image"]["R@1"] == table["image_to_text"]["R@1"] == 1


def test_any_captioned_set_can_be_named_by_its_path(capsys, tmp_path):
    for name, caption in (("cat", "a cat"), ("coffee", "a cup of coffee\ncoffee"), ("rocket", "a rocket launch")):
        Image.open(shipped("photos", f"{name}.jpg")).save(tmp_path / f"{name}.jpg")
        (tmp_path / f"{name}.txt").write_text(caption)
    table = measured(capsys, "retrieval", "--set", tmp_path)
    assert (table["photos"], table["captions"]) == (3, 4)
    assert table["image_to_text"]["R@1"] == 1


def test_each_class_can_be_told(capsys, tmp_path):
    with tarfile.open(tmp_path / "mine.tar", "w") as tar:
        for place in range(21):  # of which the first, the eleventh and the last are held out
            label = ("cat", "coffee", "rocket")[place // 10]
            for suffix, content in (("jpg", shipped("photos", f"{label}.jpg").read_bytes()), ("txt", label.encode())):
                info = tarfile.TarInfo(f"{place:03}.{suffix}")
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    table = measured(capsys, "classify", "--set", tmp_path / "mine.tar", "--per-class")
    assert table["each class"].keys() == {"cat", "coffee", "rocket"}
    assert table["each class"]["cat"] == {"precision": 1, "recall": 1, "F1": 1, "photos": 1}
    assert "each class" not in measured(capsys, "classify", "--set", tmp_path / "mine.tar")


def test_people_get_a_table(capsys):
    assert main(["demo"]) == 0
    out = capsys.readouterr().out
    assert "right first" in out
    assert "'a cat': cat.jpg" in out


def test_data_that_is_missing_is_an_error_in_one_line(capsys, tmp_path):
    assert main(["retrieval"]) == 2
    assert "--data is needed" in capsys.readouterr().err
    assert main(["classify", "--data", str(tmp_path), "--set", "nothing"]) == 2
    assert "nothing.tar: missing" in capsys.readouterr().err


def test_the_everyday_queries_are_many_and_each_covers_some_label():
    table = json.loads((HERE / "everyday_queries.json").read_text())
    assert len(table) >= 100
    assert all(labels for labels in table.values())


@pytest.mark.parametrize(
    ("label", "expected"),
    [("car_side", "a car from the side"), ("Egyptian cat", "an Egyptian cat"), ("hog, pig, grunter", "a hog")],
)
def test_class_names_become_phrases(label, expected):
    assert phrases(label)[0] == expected


def test_a_class_whose_name_says_nothing_has_no_phrase():
    assert phrases("Not sure") == []


def test_classification_measures_by_hand():
    similarity = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]], np.float32)
    result = Classification(("cat", "dog"), np.array([0, 1, 1]), similarity)
    measures = result.measures()
    assert measures["top-1"] == pytest.approx(2 / 3)
    assert measures["macro recall"] == pytest.approx((1 + 1 / 2) / 2)
    assert measures["weighted precision"] == pytest.approx((1 / 2 + 1 + 1) / 3)
    assert result.confusions() == [("dog", "cat", 1)]
