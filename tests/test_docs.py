"""What the README shows is what happens: its commands and its Python are run."""

import doctest
import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "docs"))

from run_examples import BLOCK, PAGES, Example, examples, make_home, printed, run  # noqa: E402  it lies beside the pages

README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str, page: str = README) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page, flags=re.MULTILINE | re.DOTALL)


def commands() -> list[str]:
    pages = [page.read_text(encoding="utf-8") for page in PAGES]
    lines = [
        line.split("  #")[0].strip() for page in pages for block in blocks("sh", page) for line in block.splitlines()
    ]
    return [line for line in lines if line.startswith("descry")]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's home folder with what the pages' commands speak of."""
    return make_home(tmp_path_factory.mktemp("homes") / "ada")


@pytest.fixture(scope="module")
def indexed(home: Path) -> Path:
    done = run("descry index ~/Photos ~/notes", home)
    assert done.returncode == 0, done.stdout
    return home


@pytest.mark.parametrize("command", [command for command in commands() if "--model" not in command])
def test_the_pages_commands_work(command: str, indexed: Path) -> None:
    done = run(command, indexed)
    assert done.returncode == 0, done.stdout
    assert "Traceback" not in done.stdout


@pytest.mark.parametrize("command", [command for command in commands() if "--model" in command])
def test_the_pages_other_encoders_are_known_though_their_weights_are_not_here(command: str, indexed: Path) -> None:
    done = run(command, indexed)
    assert done.returncode == 2
    assert "could not be fetched" in done.stdout or "no checkpoint" in done.stdout
    assert "Traceback" not in done.stdout


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_pages_show_what_is_printed_numbers_aside(page: Path, tmp_path: Path) -> None:
    home = make_home(tmp_path / "ada")
    shown = [example for block in BLOCK.findall(page.read_text(encoding="utf-8")) for example in examples(block)]
    wrong = [(now, then) for then in shown if without_numbers(now := printed(then, home)) != without_numbers(then)]
    assert wrong == [], "run `python docs/run_examples.py` and look at what has changed"


def without_numbers(example: Example) -> str:
    return re.sub(r"\s+", " ", re.sub(r"\d+", "0", example.output))


def test_the_readmes_python_works(tmp_path: Path) -> None:
    (tmp_path / "data").symlink_to(ROOT / "data")
    (example,) = blocks("python")
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", example], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert done.returncode == 0, done.stderr
    embedded, first, *_ = done.stdout.splitlines()
    assert embedded.endswith("0 failed")
    assert first.endswith("coffee.jpg")


def modules_with_examples() -> list[str]:
    files = [
        path for package in ("indexer", "search", "evaluation", "training") for path in (ROOT / package).rglob("*.py")
    ]
    with_examples = [path for path in files if ">>> " in path.read_text(encoding="utf-8")]
    return sorted(".".join(path.relative_to(ROOT).with_suffix("").parts) for path in with_examples)


@pytest.mark.parametrize("module", modules_with_examples())
def test_the_examples_of_docstrings_come_out_as_they_say(module: str) -> None:
    failed, tried = doctest.testmod(importlib.import_module(module))
    assert tried
    assert not failed


def test_the_readme_begins_with_the_two_commands_of_the_makefile() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    first = blocks("sh")[0]
    for target in ("demo", "test"):
        assert f"make {target}" in first
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE)


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CONTRIBUTING.md"], ids=lambda page: page.name)
def test_every_file_that_a_page_points_to_is_there(page: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8"))
    assert [link for link in links if "://" not in link and not (page.parent / link).exists()] == []


def test_the_readme_is_short_enough_for_a_newcomer() -> None:
    assert len(README.splitlines()) <= 130
