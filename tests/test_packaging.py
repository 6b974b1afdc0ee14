"""A wheel carries all that is needed: the packages, the shipped encoder and the demo data."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which the wheel was unpacked, as pip does it."""
    target = tmp_path_factory.mktemp("site")
    wheels = tmp_path_factory.mktemp("wheels")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(wheels), str(ROOT)]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    (wheel,) = wheels.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(target)
    return target


def python(installed: Path, *arguments: str) -> str:
    """What a Python prints that has the wheel, and not the checkout."""
    environment = os.environ | {"PYTHONPATH": str(installed)}
    done = subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, cwd=installed, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_installed_packages_are_the_wheels_own(installed: Path) -> None:
    place = python(installed, "-c", "import indexer, search; print(indexer.__file__, search.__file__)")
    assert place.count(str(installed)) == 2


def test_the_wheel_indexes_and_searches_its_own_demo(installed: Path, tmp_path: Path) -> None:
    descry = ("-m", "descry", "--library", str(tmp_path / "library"))
    photos = python(installed, "-c", "from indexer import shipped; print(shipped('photos'))").strip()
    assert photos.startswith(str(installed))
    python(installed, *descry, "index", photos)
    found = json.loads(python(installed, *descry, "search", "a cup of coffee", "-k", "1", "--format", "json"))
    assert found[0]["path"].endswith("coffee.jpg")


def test_the_wheel_brings_the_command_and_the_licences(installed: Path) -> None:
    (info,) = installed.glob("*.dist-info")
    assert "descry" in (info / "entry_points.txt").read_text()
    assert list(info.rglob("LICENSE"))
    assert list(installed.rglob("LICENSES.md"))


def test_no_test_and_no_top_level_data_is_installed(installed: Path) -> None:
    folders = {path.name for path in installed.iterdir() if not path.name.endswith(".dist-info")}
    assert folders == {"descry", "indexer", "search", "evaluation", "training"}
