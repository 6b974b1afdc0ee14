"""What the README shows is what happens: its commands and its Python are run."""

import doctest
import importlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PHOTOS = ROOT / "data" / "photos"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)


def commands() -> list[str]:
    lines = [line.split("  #")[0].strip() for block in blocks("sh") for line in block.splitlines()]
    return [line for line in lines if line.startswith("descry")]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's home folder with what the README's commands speak of."""
    home = tmp_path_factory.mktemp("home")
    shutil.copytree(PHOTOS, home / "Photos")
    shutil.copytree(PHOTOS, home / "Photos" / "old")
    shutil.copytree(ROOT / "data" / "texts", home / "notes")
    (home / "sunsets").mkdir()
    for name in ("dog.jpg", "my-dog.jpg"):
        shutil.copy(PHOTOS / "cat.jpg", home / name)
    (home / "breeds.txt").write_text("a dachshund\na poodle\n")
    (home / "queries.txt").write_text("a cat\na brick wall\n")
    return home


def shell(command: str, home: Path) -> subprocess.CompletedProcess[str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"HOME": str(home), "PATH": path, "DESCRY_LIBRARY": str(home / "library")}
    environment |= {"HF_HUB_OFFLINE": "1"}
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", command],
        capture_output=True,
        text=True,
        cwd=home,
        env=environment,
        timeout=120,
        check=False,
    )


@pytest.fixture(scope="module")
def indexed(home: Path) -> Path:
    done = shell("descry index ~/Photos ~/notes", home)
    assert done.returncode == 0, done.stderr
    return home


@pytest.mark.parametrize("command", [command for command in commands() if "--model" not in command])
def test_the_readmes_commands_work(command: str, indexed: Path) -> None:
    done = shell(command, indexed)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", [command for command in commands() if "--model" in command])
def test_the_readmes_other_encoders_are_known_though_their_weights_are_not_here(command: str, indexed: Path) -> None:
    done = shell(command, indexed)
    assert done.returncode == 2
    assert "could not be fetched" in done.stderr or "no checkpoint" in done.stderr
    assert "Traceback" not in done.stderr


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


def test_every_file_that_the_readme_points_to_is_there() -> None:
    links = [link for link in re.findall(r"\]\(([^)]+)\)", README) if "://" not in link]
    assert [link for link in links if not (ROOT / link).exists()] == []
