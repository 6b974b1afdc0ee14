"""The command as a user runs it: a process of its own, the shipped encoder, real photos."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from make_photos import write_all

ROOT = Path(__file__).parent.parent.parent
PHOTOS, TEXTS = ROOT / "data" / "photos", ROOT / "data" / "texts"

Descry = Callable[..., subprocess.CompletedProcess[str]]


def run(library: Path, *arguments: object, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    """`descry --library LIBRARY ARGUMENTS...`, warnings shown as they would be to a developer."""
    command = [sys.executable, "-W", "error", "-m", "search", "--library", str(library), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, input=stdin, check=False)


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    library = tmp_path_factory.mktemp("demo") / "library"
    indexed = run(library, "index", PHOTOS, TEXTS)
    assert indexed.returncode == 0, indexed.stderr
    return library


def hits(answer: subprocess.CompletedProcess[str]) -> list[dict[str, object]]:
    assert answer.returncode == 0, answer.stderr
    found: list[dict[str, object]] = json.loads(answer.stdout)
    return found


def names(answer: subprocess.CompletedProcess[str]) -> list[str]:
    return [Path(str(hit["path"])).name for hit in hits(answer)]


def refusal(answer: subprocess.CompletedProcess[str]) -> str:
    """The one line with which a request was refused."""
    assert answer.returncode == 2, (answer.stdout, answer.stderr)
    assert answer.stdout == ""
    (line,) = [line for line in answer.stderr.splitlines() if line.startswith("Error: ")]
    assert "Traceback" not in answer.stderr
    return line


def test_a_sentence_finds_its_photo(library: Path) -> None:
    assert names(run(library, "search", "a cup of coffee", "-k", 3, "--format", "json"))[0] == "coffee.jpg"


def test_a_command_that_is_misspelt_is_told_the_one_that_is_meant(tmp_path: Path) -> None:
    assert refusal(run(tmp_path, "serch", "a dog")).endswith("No such command 'serch'. Did you mean 'search'?")
    assert refusal(run(tmp_path, "impot")).endswith("Did you mean 'import'?")
    assert refusal(run(tmp_path, "frobnicate")).endswith("To look for it: descry search 'frobnicate'")


def test_unquoted_words_are_one_sentence(library: Path) -> None:
    quoted = run(library, "search", "a cup of coffee", "--format", "json")
    assert run(library, "search", "a", "cup", "of", "coffee", "--format", "json").stdout == quoted.stdout


def test_a_photo_finds_others_and_leaves_itself_out(library: Path) -> None:
    cat = PHOTOS / "cat.jpg"
    others = names(run(library, "similar", cat, "--format", "json"))
    assert len(others) == 10
    assert "cat.jpg" not in others
    (itself,) = hits(run(library, "similar", cat, "-k", 1, "--include-self", "--format", "json"))
    assert itself["path"] == str(cat)
    assert itself["score"] == pytest.approx(1, abs=1e-3)


def test_a_photo_finds_sentences(library: Path) -> None:
    described = hits(run(library, "describe", PHOTOS / "coffee.jpg", "-k", 10, "--format", "json"))
    assert {hit["modality"] for hit in described} == {"text"}
    assert any("coffee" in str(hit["text"]).lower() for hit in described)


def test_a_photo_is_described_by_labels_of_ones_own(library: Path, tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("a rocket\n\na cat\na cup of coffee\n")
    (best,) = hits(
        run(library, "describe", PHOTOS / "cat.jpg", "--labels", tmp_path / "labels.txt", "-k", 1, "--format", "json")
    )
    assert (best["text"], best["part"]) == ("a cat", "l3")


def test_a_sentence_finds_sentences(library: Path) -> None:
    found = hits(run(library, "search", "a rocket", "--modality", "text", "-k", 5, "--format", "json"))
    assert any("rocket" in str(hit["text"]).lower() for hit in found)


def test_a_table_is_for_people_and_paths_are_for_programs(library: Path) -> None:
    table = run(library, "search", "a cat", "-k", 2).stdout.splitlines()
    paths = run(library, "search", "a cat", "-k", 2, "--format", "paths").stdout.splitlines()
    assert [str(Path(line.split()[3]).absolute()) for line in table] == paths


def test_queries_from_a_file_are_answered_a_line_each(library: Path) -> None:
    answer = run(library, "search", "--queries-from", "-", "-k", 2, stdin="a cat\n\na cup of coffee\n")
    first, second = [json.loads(line) for line in answer.stdout.splitlines()]
    assert (first["query"], second["query"]) == ("a cat", "a cup of coffee")
    alone = hits(run(library, "search", "a cat", "-k", 2, "--format", "json"))
    assert [hit.pop("score") for hit in first["hits"]] == pytest.approx([hit.pop("score") for hit in alone], abs=1e-4)
    assert first["hits"] == alone  # scores aside: sums of several questions at once round otherwise on some processors


def test_photos_from_a_file_are_answered_too(library: Path) -> None:
    answer = run(library, "similar", "--queries-from", "-", "-k", 1, stdin=f"{PHOTOS / 'cat.jpg'}\n")
    assert json.loads(answer.stdout)["query"] == str(PHOTOS / "cat.jpg")


# What takes longer to import than a first question takes, or is for what few questions hold.
NOT_ASKED = {"torch", "torchvision", "open_clip", "faiss", "tokenizers", "ftfy", "regex", "scipy", "psycopg"}
NOT_ASKED |= {"huggingface_hub", "filelock", "tqdm", "imagehash", "prompt_toolkit", "pillow_heif"}


def asked(library: Path, *questions: list[str]) -> tuple[list[str], set[str]]:
    """The lines that answer command lines in one process, and the packages that it imported."""
    code = (
        "import sys\nfrom search.cli import main\n"
        f"for question in {questions!r}: main(['--library', {str(library)!r}, *question], standalone_mode=False)\n"
        "print(*sorted({name.partition('.')[0] for name in sys.modules} | {'numpy.ma'} & set(sys.modules)),"
        " file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.splitlines(), set(done.stderr.split())


@pytest.mark.parametrize("form", ["table", "json", "csv"])
def test_a_search_by_sentence_imports_what_it_needs(form: str, library: Path) -> None:
    lines, imported = asked(library, ["search", "a cat", "--format", form])
    assert "cat.jpg" in " ".join(lines)
    assert not (NOT_ASKED | {"PIL", "numpy.ma", "platformdirs"}) & imported


def test_a_question_by_id_imports_no_more(library: Path) -> None:
    first = hits(run(library, "search", "a cat", "-k", 1, "--format", "json"))[0]["id"]
    lines, imported = asked(library, ["similar", f"id:{first}"], ["search", f"id:{first}", "--type", "jpg"])
    assert len(lines) == 10 + 10
    assert not (NOT_ASKED | {"PIL"}) & imported


def test_a_question_by_photo_imports_no_torch_and_no_faiss(library: Path) -> None:
    cat = str(PHOTOS / "cat.jpg")
    lines, imported = asked(library, ["similar", cat], ["describe", cat], ["search", cat, "+", "snow"])
    assert len(lines) == 10 + 5 + 10
    assert not NOT_ASKED & imported


def test_a_second_run_changes_nothing(library: Path) -> None:
    again = run(library, "index", PHOTOS, TEXTS)
    assert again.returncode == 0
    assert "embedded" not in again.stdout
    assert "unchanged" in again.stdout


def test_status_tells_what_is_there(library: Path) -> None:
    answer = run(library, "status", "--format", "json")
    facts = {row["what"]: row["is"] for row in json.loads(answer.stdout)}
    assert facts["library"] == str(library)
    assert facts["image items"] == len(list(PHOTOS.glob("*.jpg")))
    assert facts["failed"] == 0


def test_models_are_listed(tmp_path: Path) -> None:
    answer = run(tmp_path, "models", "--format", "json")
    by_name = {row["name"]: row for row in json.loads(answer.stdout)}
    assert by_name["embedded"]["here"] == "yes"
    assert len(by_name) > 3


def test_every_format_and_every_broken_file_in_one_folder(tmp_path: Path) -> None:
    photos = write_all(tmp_path / "photos")
    (tmp_path / "photos" / "empty.jpg").touch()
    (tmp_path / "photos" / "fake.png").write_text("not a photo")
    library = tmp_path / "library"
    indexed = run(library, "index", tmp_path / "photos")
    assert indexed.returncode == 1
    assert "2 failed" in indexed.stdout
    assert "empty.jpg: it is empty" in indexed.stderr
    assert "fake.png: it is not a photo" in indexed.stderr
    failed = run(library, "status", "--failed").stdout
    assert "empty.jpg" in failed
    assert "fake.png" in failed
    found = hits(run(library, "search", "a cat", "-k", 1000, "--format", "json"))
    assert {hit["path"] for hit in found} == {str(path) for path in photos.values()}
    assert run(library, "index", tmp_path / "photos").returncode == 0  # unchanged failures are not news


def test_a_folder_is_taken_out_again(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    (photos / "cat.jpg").write_bytes((PHOTOS / "cat.jpg").read_bytes())
    library = tmp_path / "library"
    assert run(library, "index", photos).returncode == 0
    assert run(library, "remove", photos).returncode == 0
    assert names(run(library, "search", "a cat", "--format", "json")) == []
    assert (photos / "cat.jpg").exists()
    assert "holds nothing at" in refusal(run(library, "remove", photos))


def test_a_vanished_photo_is_marked(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    (photos / "cat.jpg").write_bytes((PHOTOS / "cat.jpg").read_bytes())
    run(tmp_path / "library", "index", photos)
    (photos / "cat.jpg").unlink()
    assert "(missing)" in run(tmp_path / "library", "search", "a cat").stdout


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["search"], "The query is empty"),
        (["search", "  "], "The query is empty"),
        (["search", "nowhere.jpg"], "There is no file nowhere.jpg"),
        (["search", "a cat - a cat"], "cancel each other out"),
        (["search", "a cat", "--modality", "sound"], "'sound' cannot be looked for"),
        (["similar"], "Say which file"),
        (["similar", "nowhere.jpg"], "There is no file nowhere.jpg"),
        (["similar", ROOT / "Makefile"], "neither a photo nor a text"),
        (["describe", PHOTOS / "cat.jpg", "--labels", "nowhere.txt"], "labels nowhere.txt cannot be read"),
        (["index", "nowhere"], "no folder or file"),
        (["index", PHOTOS, "--model", "open_clip:ViT-B-32//nowhere.pt"], "nowhere.pt"),
        (["index", PHOTOS, "--model", "no-such-model"], "No encoder is called 'no-such-model'"),
    ],
)
def test_a_wrong_request_is_one_line_and_exit_code_2(library: Path, arguments: list[object], reason: str) -> None:
    assert reason in refusal(run(library, *arguments))


def test_a_library_that_is_not_there_is_named_with_the_remedy(tmp_path: Path) -> None:
    line = refusal(run(tmp_path / "nothing", "search", "a cat"))
    assert str(tmp_path / "nothing") in line
    assert "descry index" in line
    assert not (tmp_path / "nothing").exists()


def test_a_wrong_path_makes_no_library(tmp_path: Path) -> None:
    assert "no folder or file" in refusal(run(tmp_path / "library", "index", tmp_path / "nowhere"))
    assert not (tmp_path / "library").exists()


@pytest.mark.parametrize("arguments", [["search", "a", "-k", "0"], ["search", "a", "--format", "xml"], ["fly"]])
def test_a_wrong_option_is_exit_code_2(library: Path, arguments: list[str]) -> None:
    assert run(library, *arguments).returncode == 2


def test_every_command_has_help_with_an_example() -> None:
    top = run(Path("unused"), "--help").stdout
    for command in ("index", "search", "similar", "describe", "status", "models", "remove"):
        assert command in top
        assert f"descry {command}" in run(Path("unused"), command, "--help").stdout


def test_the_environment_names_the_library(library: Path) -> None:
    command = [sys.executable, "-m", "search", "search", "a cat", "-k", "1"]
    environment = os.environ | {"DESCRY_LIBRARY": str(library)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    assert "cat.jpg" in done.stdout
