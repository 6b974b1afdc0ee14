"""The measurement of duplicates: what it writes is what it says, and its figures are those worked out by hand."""

from pathlib import Path

import numpy as np
import pytest

from evaluation.datasets import Example
from evaluation.duplicates import CHANGES, COPIED, Truth, compared, measure, write
from indexer import shipped
from indexer.items import Item
from indexer.photos.facts import photo_facts
from indexer.photos.opening import open_photo
from indexer.photos.pixels import upright_rgb
from indexer.testing import color_encoder
from search.organise.duplicates import BURST, EXACT, NEAR_EXACT, Copy, Group


def examples(count: int) -> list[Example]:
    paths = sorted(shipped("photos").glob("*.jpg"))
    return [Example(path.name, path, label=path.stem) for path in paths[:count]]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Truth:
    return write(examples(16), [], tmp_path_factory.mktemp("duplicates") / "photos")


def test_every_kind_of_change_is_made_by_turns(written: Truth) -> None:
    changes = [change for change in written.changes.values() if change]
    assert changes == [*CHANGES, COPIED, next(iter(CHANGES))]
    assert all(path.is_file() for path in written.origins)


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_photo_is_nearly_the_photo_and_not_the_same_file(change: str, written: Truth) -> None:
    copy = next(path for path, made in written.changes.items() if made == change)
    original = next(path for path, origin in written.origins.items() if origin == written.origins[copy])
    assert copy.read_bytes() != original.read_bytes()
    small = [
        np.asarray(upright_rgb(open_photo(path)).convert("L").resize((16, 16)), float) for path in (copy, original)
    ]
    assert np.corrcoef(small[0].ravel(), small[1].ravel())[0, 1] > 0.6


def test_photos_in_a_row_are_taken_a_second_apart(tmp_path: Path) -> None:
    truth = write([], examples(3), tmp_path / "photos")
    taken = [photo_facts(open_photo(path))["taken"] for path in sorted(truth.origins)]
    assert taken == [f"2024-05-31T12:00:0{second}" for second in range(3)]
    assert len(set(truth.origins.values())) == 3


def test_figures_by_hand() -> None:
    paths = {name: Path(f"/{name}.jpg") for name in ("a", "a2", "b", "b2", "c", "c2")}
    truth = Truth(
        {path: name[0] for name, path in paths.items()},
        {path: {"a2": "PNG", "b2": "PNG", "c2": COPIED}.get(name, "") for name, path in paths.items()},
    )

    def group(best: str, *others: tuple[str, str]) -> Group:
        copies = (Copy(Item("image", paths[name]), reason, "") for name, reason in others)
        return Group(Item("image", paths[best]), tuple(copies))

    figures = compared([group("a", ("a2", NEAR_EXACT), ("b", NEAR_EXACT)), group("c", ("c2", EXACT))], truth)
    assert figures["all"] == {"precision": 2 / 3, "recall": 2 / 3, "copies": 3}
    assert figures["PNG"] == {"precision": 1.0, "recall": 0.5, "copies": 2}
    assert figures[COPIED] == {"precision": 1.0, "recall": 1.0, "copies": 1}
    assert figures["wrong"] == ["near-exact: a.jpg b.jpg"]
    assert compared([group("a", ("a2", BURST))], truth)["all"]["precision"] == 0  # the right photo, the wrong reason


def test_the_report_is_measured_end_to_end() -> None:
    figures = measure(color_encoder(), examples(15))
    assert figures["photos"] == 30
    assert figures["all"]["recall"] > 0.8
    assert figures["all"]["precision"] > 0.8
    assert figures[COPIED]["recall"] == 1
