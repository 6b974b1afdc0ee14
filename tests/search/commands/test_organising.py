"""Words, tags, groups and a map of the demo photos, on the command line."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from indexer import Library, index_sources, load_encoder
from search.cli import main

PHOTOS = Path(__file__).parents[3] / "data" / "photos"
NAMES = ("cat", "coffee", "rocket", "motorcycle", "brick", "flower")


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("demo") / "library"
    encoder = load_encoder()
    with Library.create(path, encoder) as library:
        index_sources(library, [PHOTOS / f"{name}.jpg" for name in NAMES], encoder)
    return path


def descry(library: Path, *arguments: object) -> Result:
    return CliRunner().invoke(main, ["--library", str(library), *map(str, arguments)])


def told(result: Result) -> list[dict[str, object]]:
    assert result.exit_code == 0, result.output
    rows: list[dict[str, object]] = json.loads(result.stdout)
    return rows


def refusal(result: Result) -> str:
    assert (result.exit_code, result.stdout) == (2, ""), result.output
    return result.stderr.splitlines()[-1]


def test_words_say_what_a_photo_is_about(library: Path) -> None:
    said = told(descry(library, "words", PHOTOS / "coffee.jpg", "-k", 3, "--format", "json"))
    assert len(said) == 3
    assert any(word in str(said) for word in ("coffee", "espresso", "cup"))
    assert "There is no file" in refusal(descry(library, "words", "missing.jpg"))


def test_photos_are_tagged_found_by_their_tags_and_untagged(library: Path, tmp_path: Path) -> None:
    assert descry(library, "tag").stdout == "nothing to report\n"
    labels = tmp_path / "labels.txt"
    labels.write_text("cat\nmotorcycle\nsnow\n")
    done = descry(library, "tag", "--labels", labels, "--format", "json")
    assert {"tag": "cat", "photos": 1} in told(done)
    assert f"of {len(NAMES)} photos tagged" in done.stderr
    (hit,) = told(descry(library, "search", "an animal", "--tag", "cat", "--format", "json"))
    assert str(hit["path"]).endswith("cat.jpg")
    others = told(descry(library, "search", "an animal", "--not", "tag=cat", "--format", "json"))
    assert len(others) == len(NAMES) - 1
    (tag,) = told(descry(library, "tag", "--of", PHOTOS / "cat.jpg", "--format", "json"))
    assert tag["tag"] == "cat"
    assert "taken off 1 photo" in descry(library, "tag", "--remove", "cat").stderr
    assert "'cat'" in refusal(descry(library, "tag", "--remove", "cat"))
    assert "cannot be read" in refusal(descry(library, "tag", "--labels", tmp_path / "missing.txt"))


def test_groups_are_named_and_hold_every_photo_once(library: Path) -> None:
    found = told(descry(library, "groups", "-n", 3, "--members", "--format", "json"))
    paths = [path for group in found for path in group["paths"]]  # type: ignore[attr-defined]
    assert sorted(Path(path).stem for path in paths) == sorted(NAMES)
    assert all(group["name"] for group in found)
    assert descry(library, "groups").stdout.splitlines()[0].split() == ["group", "photos", "name", "typical"]


def test_a_map_is_one_page_and_a_wrong_name_is_refused_before_any_work(library: Path, tmp_path: Path) -> None:
    done = descry(library, "map", tmp_path / "map.html")
    assert done.exit_code == 0, done.output
    assert done.stdout == ""
    assert "map.html shows 6 photos, 2 groups" in done.stderr
    assert "coffee.jpg" in (tmp_path / "map.html").read_text(encoding="utf-8")
    assert "call it map.html" in refusal(descry(library, "map", tmp_path / "map.pdf"))
    assert "holds no photo" in refusal(descry(_empty(tmp_path), "map", tmp_path / "none.html"))
    assert [path.name for path in tmp_path.glob("*.html")] == ["map.html"]


def _empty(folder: Path) -> Path:
    with Library.create(folder / "empty", load_encoder()) as library:
        return library.path
