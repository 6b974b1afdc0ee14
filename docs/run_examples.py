"""Runs the console examples of README.md and docs/*.md in a home folder of demo photos, and writes what they print.

    python docs/run_examples.py

The tests run the same commands and compare, numbers aside: a page that shows something else than Descry prints fails.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from PIL import Image

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
SHOWN_HOME = "/home/ada"

BLOCK = re.compile(r"^```console\n(.*?)^```", flags=re.MULTILINE | re.DOTALL)
PROMPT = "$ "
TIMEOUT = 300

# What only a slow machine is told.
PROGRESS = re.compile(r"^\d+ of \d+ files.*\n", re.MULTILINE)


class Example(NamedTuple):
    """A command and what it prints, stdout and stderr together."""

    command: str
    output: str


def examples(block: str) -> list[Example]:
    """The commands of a console block, in their order."""
    pieces = re.split(rf"^{re.escape(PROMPT)}", block, flags=re.MULTILINE)[1:]
    return [Example(*piece.split("\n", 1)) for piece in pieces]


def make_home(home: Path) -> Path:
    """A user's home folder with what the pages speak of: photos, notes, lists."""
    photos, texts = ROOT / "data" / "photos", ROOT / "data" / "texts"
    home.mkdir(exist_ok=True)
    shutil.copytree(photos, home / "Photos")
    (home / "Photos" / "old").mkdir()
    for name in ("coffee.jpg", "page.jpg"):
        shutil.copy(photos / name, home / "Photos" / "old" / f"old-{name}")
    with Image.open(photos / "cat.jpg") as cat:
        cat.resize((cat.width // 2, cat.height // 2)).save(home / "Photos" / "old" / "cat-small.jpg", quality=80)
    shutil.copytree(texts, home / "notes")
    (home / "sunsets").mkdir()
    shutil.copy(photos / "cat.jpg", home / "my-cat.jpg")
    (home / "breeds.txt").write_text("a dachshund\na poodle\n")
    (home / "labels.txt").write_text("cat\ncup of coffee\nmotorcycle\ncoins\nflower\n")
    (home / "queries.txt").write_text("a cat\na brick wall\n")
    return home


def run(command: str, home: Path) -> subprocess.CompletedProcess[str]:
    """The command in a shell of that home, both outputs in one; no network is asked for."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"HOME": str(home), "PATH": path, "DESCRY_LIBRARY": str(home / "library")}
    environment |= {"HF_HUB_OFFLINE": "1", "COLUMNS": "100"}
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
        cwd=home,
        env=environment,
        timeout=TIMEOUT,
        check=False,
    )


def printed(example: Example, home: Path) -> Example:
    """The example as it comes out now, on a machine that nothing else keeps busy."""
    output = PROGRESS.sub("", run(example.command, home).stdout)
    return Example(example.command, output.replace(str(home), SHOWN_HOME))


def refreshed(page: str, home: Path) -> str:
    """A page with the output of its examples as it is now."""

    def block(match: re.Match[str]) -> str:
        outcome = [printed(example, home) for example in examples(match[1])]
        return "```console\n" + "".join(f"{PROMPT}{command}\n{output}" for command, output in outcome) + "```"

    return BLOCK.sub(block, page)


def main() -> None:
    """Refreshes all pages, each in a home of its own."""
    for page in PAGES:
        with tempfile.TemporaryDirectory() as folder:
            text = page.read_text(encoding="utf-8")
            page.write_text(refreshed(text, make_home(Path(folder).resolve() / "ada")), encoding="utf-8")


if __name__ == "__main__":
    main()
