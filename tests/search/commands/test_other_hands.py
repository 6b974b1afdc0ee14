"""What leaves and enters a library on the command line: copies, links, pages, exports and imports."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

from indexer import Library, index_sources, load_encoder
from search.cli import main

PHOTOS = Path(__file__).parents[3] / "data" / "photos"


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("demo") / "library"
    encoder = load_encoder()
    with Library.create(path, encoder) as library:
        index_sources(library, [PHOTOS / f"{name}.jpg" for name in ("cat", "coffee", "rocket")], encoder)
    return path


def descry(library: Path, *arguments: object, stdin: str | None = None) -> Result:
    return CliRunner().invoke(main, ["--library", str(library), *map(str, arguments)], input=stdin)


def refusal(result: Result) -> str:
    assert (result.exit_code, result.stdout) == (2, ""), result.output
    (line,) = result.stderr.splitlines()[-1:]
    return line


def hits(result: Result) -> list[tuple[str, float]]:
    assert result.exit_code == 0, result.output
    return [(hit["path"], hit["score"]) for hit in json.loads(result.stdout)]


def test_an_answer_goes_into_a_folder_and_onto_a_page_and_is_printed_as_always(library: Path, tmp_path: Path) -> None:
    plain = descry(library, "search", "a cup of coffee", "-k", 2)
    taken = ["--copy-to", tmp_path / "copies", "--link-to", tmp_path / "links", "--html", tmp_path / "page.html"]
    result = descry(library, "search", "a cup of coffee", "-k", 2, *taken)
    assert (result.exit_code, result.stdout) == (0, plain.stdout)
    assert f"2 copied to {tmp_path / 'copies'}\n2 linked to {tmp_path / 'links'}\npage.html shows 2" in result.stderr
    assert (tmp_path / "copies" / "01_coffee.jpg").read_bytes() == (PHOTOS / "coffee.jpg").read_bytes()
    assert (tmp_path / "links" / "01_coffee.jpg").readlink() == PHOTOS / "coffee.jpg"
    assert "<h1>a cup of coffee<" in (tmp_path / "page.html").read_text()


def test_the_answers_to_a_file_of_questions_go_there_too(library: Path, tmp_path: Path) -> None:
    taken = ["--copy-to", tmp_path / "copies", "--html", tmp_path / "page.html"]
    result = descry(library, "search", "--queries-from", "-", "-k", 1, *taken, stdin="a cat\na rocket\n")
    assert [json.loads(line)["query"] for line in result.stdout.splitlines()] == ["a cat", "a rocket"]
    copies = sorted(str(path.relative_to(tmp_path / "copies")) for path in (tmp_path / "copies").rglob("*.jpg"))
    assert copies == ["001 a cat/01_cat.jpg", "002 a rocket/01_rocket.jpg"]
    assert (tmp_path / "page.html").read_text().count("<h1>") == 2


def test_photos_like_a_photo_can_be_taken_along(library: Path, tmp_path: Path) -> None:
    descry(library, "similar", PHOTOS / "cat.jpg", "--link-to", tmp_path / "links")
    assert len(list((tmp_path / "links").iterdir())) == 2


def test_a_photo_that_is_gone_is_named_and_the_exit_code_tells(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    for name in ("cat.jpg", "rocket.jpg"):
        (tmp_path / "photos" / name).write_bytes((PHOTOS / name).read_bytes())
    encoder = load_encoder()
    with Library.create(tmp_path / "library", encoder) as made:
        index_sources(made, [tmp_path / "photos"], encoder)
    (tmp_path / "photos" / "cat.jpg").unlink()
    result = descry(tmp_path / "library", "search", "a cat", "--copy-to", tmp_path / "out")
    assert result.exit_code == 1
    assert f"{tmp_path / 'photos' / 'cat.jpg'}: not copied: the file is gone" in result.stderr
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["02_rocket.jpg"]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--html", "dog.jpg"], "call it dog.html"),
        (["--copy-to", PHOTOS / "cat.jpg"], "name a folder"),
        (["--queries-from", "-", "--preview"], "--preview is for one question"),
        (["--queries-from", "-", "--open"], "--open is for one question"),
    ],
)
def test_what_cannot_be_taken_along_is_refused_in_a_line(library: Path, arguments: list[object], reason: str) -> None:
    assert reason in refusal(descry(library, "search", "a cat", *arguments, stdin="a cat\n"))


@pytest.mark.parametrize("name", ["items.npz", "items.parquet"])
def test_a_library_travels_as_one_file(name: str, library: Path, tmp_path: Path) -> None:
    exported = descry(library, "export", tmp_path / name)
    assert exported.stdout == f"3 vectors written to {tmp_path / name}\n", exported.output
    imported = descry(tmp_path / "other", "import", tmp_path / name)
    assert imported.stdout.startswith("3 stored in "), imported.output
    question = ["search", "a cup of coffee", "--format", "json"]
    assert hits(descry(tmp_path / "other", *question)) == hits(descry(library, *question))
    assert descry(tmp_path / "other", "index", PHOTOS / "cat.jpg").stdout.startswith("1 unchanged")


def test_filters_choose_what_is_exported(library: Path, tmp_path: Path) -> None:
    descry(library, "export", tmp_path / "some.npz", "--modality", "image", "--path", "c*.jpg", "--not", "path=cat*")
    with np.load(tmp_path / "some.npz") as arrays:
        assert arrays["path"].tolist() == [str(PHOTOS / "coffee.jpg")]


def test_embeddings_of_others_are_searched_like_ones_own(library: Path, tmp_path: Path) -> None:
    descry(library, "export", tmp_path / "items.npz")
    (tmp_path / "it" / "img_emb").mkdir(parents=True)
    (tmp_path / "it" / "metadata").mkdir()
    with np.load(tmp_path / "items.npz") as arrays:
        np.save(tmp_path / "it" / "img_emb" / "img_emb_0.npy", arrays["vector"])
        names = [Path(path).name for path in arrays["path"]]
    pq.write_table(pa.table({"image_path": [*names[:2], "gone.jpg"]}), tmp_path / "it" / "metadata/metadata_0.parquet")
    other = tmp_path / "other"
    assert "name it with --model" in refusal(descry(other, "import", tmp_path / "it", "--photos", PHOTOS))
    assert not other.exists()
    result = descry(other, "import", tmp_path / "it", "--photos", PHOTOS, "--model", "embedded")
    assert result.stdout.startswith("3 stored, 1 of them without their file in "), result.output
    best, *_ = hits(descry(other, "search", "a cup of coffee", "--format", "json"))
    assert best == hits(descry(library, "search", "a cup of coffee", "--format", "json"))[0]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["export", "items.csv"], "end it in .npz or .parquet"),
        (["export", "items.npz", "--modality", "sound"], "nothing to export"),
        (["export", "items.npz", "--after", "someday"], "someday"),
        (["import", "nowhere.npz"], "There is no file nowhere.npz"),
        (["import", "nowhere"], "neither a folder of embeddings nor an export"),
        (["import", PHOTOS, "--model", "embedded"], "it has no metadata/metadata_0.parquet"),
    ],
)
def test_what_cannot_be_exported_or_imported_is_refused_in_a_line(
    library: Path, arguments: list[object], reason: str
) -> None:
    assert reason in refusal(descry(library, *arguments))


def test_a_command_that_python_has_a_word_for_is_called_by_that_word() -> None:
    assert "  import " in CliRunner().invoke(main, ["--help"]).stdout
    assert "descry import vectors.npz" in CliRunner().invoke(main, ["import", "--help"]).stdout
    assert CliRunner().invoke(main, ["import_"]).exit_code == 2
