"""What is there and what is not, as `descry doctor` tells it."""

from __future__ import annotations

import json
import re
import shutil
import tomllib
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from indexer import Library, index_sources, load_encoder, shipped
from indexer.library import CATALOG
from indexer.storage.stored_vectors import vectors_file
from search import doctor
from search.cli import main
from search.doctor import EXTRAS, Finding, State, examine

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("doctor") / "library"
    encoder = load_encoder(device="cpu")
    with Library.create(path, encoder) as library:
        index_sources(library, [shipped("photos", "cat.jpg")], encoder)
    return path


def told(library: Path) -> dict[str, dict[str, Any]]:
    return {row["what"]: row for row in examine(library)}


def test_a_library_in_order_is_usable(demo: Path) -> None:
    done = CliRunner().invoke(main, ["--library", str(demo), "doctor"])
    assert done.exit_code == 0, done.output
    assert len(done.stdout.splitlines()) == len(doctor.CHECKS)
    assert re.search(r"^OK +library +.*1 images", done.stdout, flags=re.MULTILINE)
    assert re.search(r"^OK +catalog +sound", done.stdout, flags=re.MULTILINE)
    assert re.search(r"^OK +photos +.*HEIC, AVIF", done.stdout, flags=re.MULTILINE)
    assert re.search(r"^OK +encoder +embedded, the library's", done.stdout, flags=re.MULTILINE)


def test_machines_get_json(demo: Path) -> None:
    done = CliRunner().invoke(main, ["--library", str(demo), "doctor", "--format", "json"])
    rows = json.loads(done.stdout)
    assert [row["what"] for row in rows] == list(doctor.CHECKS)
    assert {row["state"] for row in rows} <= {"OK", "note", "problem"}


def test_no_library_yet_is_no_problem(tmp_path: Path) -> None:
    rows = told(tmp_path / "none")
    assert rows["library"]["state"] == "note"
    assert "descry index" in rows["library"]["remedy"]
    assert rows["encoder"]["state"] == "OK"
    assert "shipped" in rows["encoder"]["says"]
    assert not (tmp_path / "none").exists()


def test_a_damaged_catalog_is_a_problem_and_ends_with_1(tmp_path: Path) -> None:
    (tmp_path / CATALOG).write_bytes(b"SQLite format 3\0" + b"broken" * 1000)
    done = CliRunner().invoke(main, ["--library", str(tmp_path), "doctor"])
    assert done.exit_code == 1
    assert re.search(r"^problem +library +.*cannot be read", done.stdout, flags=re.MULTILINE)


def test_a_catalog_with_a_wrong_page_is_found_out(demo: Path, tmp_path: Path) -> None:
    content = bytearray((demo / CATALOG).read_bytes())
    with Library.open(demo) as opened:
        size = opened.catalog.scalar("PRAGMA page_size")
        page = opened.catalog.scalar("SELECT rootpage FROM sqlite_master WHERE name = 'vectors'")
    start = (page - 1) * size
    content[start + 100 : start + size] = b"\xff" * (size - 100)
    (tmp_path / CATALOG).write_bytes(content)
    row = told(tmp_path)["catalog"]
    assert row["state"] == "problem"
    assert "index again" in row["remedy"] or "damaged" in row["says"] or "malformed" in row["says"]


def test_vectors_that_are_damaged_or_missing_are_found_out(demo: Path, tmp_path: Path) -> None:
    library = shutil.copytree(demo, tmp_path / "library")
    assert told(library)["vectors"]["says"] == "1 looked at, all sound"
    file = vectors_file(library / CATALOG, 1)
    file.write_bytes(bytes(file.stat().st_size))
    row = told(library)["vectors"]
    assert (row["state"], row["says"]) == ("problem", "1 of 1 are damaged")
    file.unlink()
    assert "missing or cut short" in told(library)["vectors"]["says"]


def test_one_who_writes_is_named(demo: Path) -> None:
    with Library.open(demo) as opened, opened.lock():
        row = told(demo)["lock"]
    assert row["state"] == "note"
    assert "is being written by" in row["says"]
    assert told(demo)["lock"]["state"] == "OK"


def test_failed_files_and_folders_that_are_away_are_told(tmp_path: Path) -> None:
    encoder = load_encoder(device="cpu")
    photos = tmp_path / "photos"
    photos.mkdir()
    (photos / "fake.jpg").write_text("not a photo")
    with Library.create(tmp_path / "library", encoder) as library:
        index_sources(library, [photos], encoder)
    assert told(tmp_path / "library")["files"]["remedy"] == "`descry status --failed` names them"
    (photos / "fake.jpg").unlink()
    photos.rmdir()
    assert str(photos) in told(tmp_path / "library")["files"]["says"]


def test_weights_that_are_not_those_of_the_config_are_a_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "_shipped_checksum", lambda: "0" * 16)
    row = told(tmp_path)["encoder"]
    assert (row["state"], row["remedy"]) == ("problem", "install Descry again")


def test_a_check_that_trips_is_a_problem_and_the_others_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def trips(_library: Path) -> Finding:
        raise ImportError("no module named torch")

    monkeypatch.setitem(doctor.CHECKS, "processor", trips)
    rows = told(tmp_path)
    assert rows["processor"]["state"] == State.PROBLEM
    assert "torch" in rows["processor"]["says"]
    assert rows["disk"]["state"] in (State.OK, State.NOTE)


def test_the_extras_are_those_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    assert set(EXTRAS) == set(extras) - {"dev"}
    imported = {"scikit_learn": "sklearn"}
    for extra, (package, _) in EXTRAS.items():
        distribution = re.split(r"[<>=\[ ]", extras[extra][0])[0].replace("-", "_")
        assert imported.get(distribution, distribution) == package
