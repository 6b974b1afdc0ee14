"""Several runs as one table."""

import json

import pytest

from evaluation.__main__ import main
from evaluation.compare import summary
from evaluation.datasets import DataError


def runs(folder, *results):
    files = [folder / f"{place}.json" for place in range(len(results))]
    for file, result in zip(files, results, strict=True):
        file.write_text(json.dumps(result))
    return files


def test_mean_and_spread_by_hand(tmp_path):
    one, two = (
        {"photos": 3, "text_to_image": {"R@1": 0.2}, "found": ["x"]},
        {"photos": 3, "text_to_image": {"R@1": 0.4}},
    )
    table = summary(runs(tmp_path, one, two))
    assert set(table) == {"photos", "text_to_image R@1"}
    assert table["text_to_image R@1"] == pytest.approx(
        {"mean": 0.3, "deviation": 0.2 / 2**0.5, "least": 0.2, "greatest": 0.4}
    )


def test_people_get_a_table(tmp_path, capsys):
    files = runs(tmp_path, {"R@1": 0.25}, {"R@1": 0.75})
    assert main(["summary", *map(str, files)]) == 0
    assert "mean                 0.500" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("results", "message"),
    [([{"a": 1}], "two runs or more"), ([{"a": 1}, {"b": 1}], "no figure in common")],
)
def test_what_cannot_be_compared_is_refused(tmp_path, results, message):
    with pytest.raises(DataError, match=message):
        summary(runs(tmp_path, *results))


def test_a_file_that_is_no_result_is_named(tmp_path):
    (file,) = runs(tmp_path, {"a": 1})
    bad = tmp_path / "bad.json"
    bad.write_text("{")
    with pytest.raises(DataError, match=r"bad\.json: no result"):
        summary([file, bad])
