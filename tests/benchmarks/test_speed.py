"""Measuring speed: what the figures say must be right, however long anything takes."""

import json
import sys
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks import growing, searching
from benchmarks.__main__ import MEASUREMENTS, main
from benchmarks.encoding import rates
from benchmarks.figures import Aim, Figure, Run, against, table
from benchmarks.machine import ProcessFailed, by_turns, taken
from benchmarks.plot import distance, growth_of, plot
from benchmarks.setting import Setting, sizes_of
from evaluation.datasets import DataError
from indexer import Library, index_sources, shipped
from indexer.encoders import load_encoder
from indexer.errors import DescryError
from indexer.testing import color_encoder


@pytest.fixture(scope="module")
def setting(tmp_path_factory: pytest.TempPathFactory) -> Setting:
    folder = tmp_path_factory.mktemp("speed")
    return Setting(load_encoder(), shipped("photos"), (2000,), folder, reference="")


def test_every_measurement_is_a_function() -> None:
    assert all(callable(getattr(import_module(f"benchmarks.{home}"), name)) for name, home in MEASUREMENTS.items())


# figures


def test_an_aim_holds_for_the_ratio_where_there_is_one() -> None:
    figure = Figure("a query", 30.0, "ms", beside=20.0, reference="imports", aim=Aim(most=1.6))
    assert figure.ratio == 1.5
    assert figure.reached
    assert not Figure("a query", 30.0, "ms", aim=Aim(most=1.6)).reached
    assert Figure("recall", 0.98, "", aim=Aim(least=0.98)).reached
    assert Figure("a query", 30.0, "ms").reached is None


def test_a_run_comes_back_from_its_file_as_it_was(tmp_path: Path) -> None:
    figure = Figure("a query", 3.0, "ms", 2.0, "imports", Aim(most=1.6))
    run = Run({"processor": "a fast one"}, {"cold": [figure]}, {"photos": {"rclip": {"reason": "no disk"}}})
    file = tmp_path / "run.json"
    run.write(file)
    assert Run.read(file) == run
    file.write_text("{}")
    with pytest.raises(DataError, match=r"run\.json"):
        Run.read(file)


def test_two_runs_are_compared_figure_by_figure_and_each_says_where_it_was_taken() -> None:
    now = Run({"processor": "new"}, {"cold": [Figure("a query", 3.0, "ms", 2.0), Figure("only now", 1.0, "ms")]})
    then = Run({"processor": "old"}, {"cold": [Figure("a query", 6.0, "ms", 2.0)]})
    lines = against(now, then).splitlines()
    assert (lines[0], lines[1]) == ("now:  new", "then: old")
    assert lines[-1].split() == ["cold:", "a", "query", "3", "ms", "6", "ms", "0.50", "1.5", "3"]
    assert "only now" not in "".join(lines)


def test_people_see_whether_aims_are_reached() -> None:
    run = Run({}, {"cold": [Figure("quick", 1.0, "ms", aim=Aim(most=2)), Figure("slow", 3.0, "ms", aim=Aim(most=2))]})
    quick, slow = table(run).splitlines()[-2:]
    assert quick.split() == ["quick", "1", "ms", "<=", "2", "reached"]
    assert slow.split() == ["slow", "3", "ms", "<=", "2", "missed"]


def test_a_picture_shows_the_distance_to_aims_and_what_grows(tmp_path: Path) -> None:
    grown = [Figure(f"disk, {size} x 512", value, "MB") for size, value in (("10k", 10.0), ("1M", 1000.0))]
    run = Run({}, {"growth": grown, "cold": [Figure("a query", 4.0, "ms", aim=Aim(most=2))]})
    assert growth_of(run) == {"disk": {10_000: 10.0, 1_000_000: 1000.0}}
    assert [distance(figure) for figure in run.figures["cold"]] == [0.5]
    plot(run, tmp_path / "run.png")
    assert size_of(tmp_path / "run.png")[0] > 1000
    with pytest.raises(DescryError, match="nothing to draw"):
        plot(Run({}, {}), tmp_path / "nothing.png")


# processes


def test_a_process_is_charged_for_its_own_memory_and_not_for_its_starters() -> None:
    ours = np.ones(40_000_000)  # 320 MB
    small, large = (taken([sys.executable, "-c", f"bytearray({size})"]) for size in (0, 200_000_000))
    assert ours.nbytes / 1e6 > small.megabytes > 1
    assert 150 < large.megabytes - small.megabytes < 250


def test_processes_take_turns_and_a_failing_one_is_an_error() -> None:
    commands = {"sleeps": [sys.executable, "-c", "import time; time.sleep(0.1); print('up')"]}
    took = by_turns(commands, 1)["sleeps"]
    assert took.seconds >= 0.1
    assert took.cpu_seconds > 0
    assert took.output == "up\n"
    with pytest.raises(ProcessFailed, match="no such luck"):
        by_turns({"fails": [sys.executable, "-c", "raise SystemExit('no such luck')"]}, 1)


# what is measured


def test_photos_are_made_once_and_no_two_are_alike(setting: Setting) -> None:
    folder = setting.jpegs(64, 48, 5)
    files = sorted(folder.iterdir())
    assert {size_of(file) for file in files} == {(64, 48)}
    assert len({file.read_bytes() for file in files}) == 5
    written = files[0].stat().st_mtime_ns
    assert setting.jpegs(64, 48, 5) == folder
    assert files[0].stat().st_mtime_ns == written


def size_of(picture: Path) -> tuple[int, int]:
    with Image.open(picture) as opened:
        return opened.size


def test_sizes_are_read_as_people_write_them() -> None:
    assert sizes_of(["10k", "1M", "30"]) == (10_000, 1_000_000, 30)
    for wrong in ("many", "0", "", "-3", "1.5m"):
        with pytest.raises(DataError, match="such as 10k"):
            sizes_of([wrong])


def test_so_few_photos_are_found_exactly_with_and_without_filters(setting: Setting) -> None:
    exact, *_ = searching.searching(setting)
    assert exact.name == "exact, 2k x 512"
    assert exact.ratio and exact.ratio > 0
    figures = {figure.name: figure.value for figure in searching.filtering(setting)}
    assert [value for name, value in figures.items() if "recall" in name] == pytest.approx([1.0] * 5, abs=0.01)
    assert len(figures) == 10


def test_as_many_photos_as_wished_are_made_like_those_of_a_library(setting: Setting, tmp_path: Path) -> None:
    encoder = color_encoder()
    for name, source in (("colours", "photos"), ("colours", "texts"), ("silent", "photos/cat.jpg")):
        with Library.create(tmp_path / name, encoder) as library:
            index_sources(library, [shipped(source)], encoder)
    like = replace(setting, like=tmp_path / "colours", sizes=(300,))
    exact, *_, found = searching.searching(like)
    assert exact.name == "exact, 300 x 4 like colours"
    assert (found.name, found.value) == ("exact, 300 x 4 like colours, recall@10", 1)
    assert like.searched(300) == like.searched(300) != setting.searched(300)
    names = {figure.name for figure in searching.filtering(like)}
    assert {"50.0% allowed, 300 x 4 like colours", "all, 300 x 4 like colours, recall@10"} <= names
    with pytest.raises(DataError, match=r"silent holds 1 photos and 0 texts"):
        list(searching.searching(replace(setting, like=tmp_path / "silent")))


def test_the_parts_of_a_library_are_all_of_it(setting: Setting) -> None:
    whole, *parts = growing.size(setting)
    assert sum(part.value for part in parts) == pytest.approx(whole.value)
    library = setting.searched(2000)
    kept = (".sqlite3", ".vectors", ".faiss")
    on_disk = sum(file.stat().st_size for file in library.iterdir() if file.suffix in kept)
    assert whole.value == pytest.approx(on_disk / 2000, rel=0.05)


def test_cold_questions_are_told_beside_the_imports(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searching, "COLD_ROUNDS", 1)
    figures = list(searching.cold(setting))
    names = ["search, embedded, 2k photos", "similar, embedded, 2k photos"]
    timed = [name + kind for name in names for kind in ("", ", processor time")]
    assert [figure.name for figure in figures if figure.ratio] == timed
    assert all(figure.value > 0 for figure in figures)


def test_the_pipeline_is_told_beside_its_parts(setting: Setting) -> None:
    files = sorted(setting.jpegs(32, 32, 64).iterdir())
    figures = {figure.name.removeprefix("colours: "): figure for figure in rates("colours", color_encoder(), files)}
    alone = [figures[f"{part} alone"].value for part in ("embedding", "decoding")]
    assert figures["pipeline"].beside == min(alone)
    assert figures["pipeline beside both"].beside == pytest.approx(1 / (1 / alone[0] + 1 / alone[1]))


def test_what_grows_is_made_by_processes_of_their_own(setting: Setting, tmp_path: Path) -> None:
    figures = {figure.name: figure.value for figure in growing.growth(replace(setting, sizes=(300, 1000)))}
    assert set(figures) == {
        f"{measure}, {at}" for measure in growing.MEASURES for at in ("300 x 256", "1k x 256", "exponent")
    }
    assert figures["disk, 1k x 256"] > figures["disk, 300 x 256"] > 0
    encoder = color_encoder()
    with Library.create(tmp_path / "colours", encoder) as library:
        index_sources(library, [shipped("photos"), shipped("texts")], encoder)
    like = replace(setting, sizes=(300,), like=tmp_path / "colours")
    assert [figure.name for figure in growing.growth(like)] == [f"{measure}, 300 x 4" for measure in growing.MEASURES]


def test_exponents_are_those_of_the_curve() -> None:
    assert growing.exponent({10: 5.0, 100: 5.0}) == pytest.approx(0)
    assert growing.exponent({10: 2.0, 100: 200.0, 1000: 20_000.0}) == pytest.approx(2)
    assert growing.steps(10_000, 100_000) == [10_000, 30_000, 100_000]
    assert growing.steps(500, 500) == [500]


# the command


def test_the_command_measures_writes_and_compares(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    saved, work = tmp_path / "run.json", tmp_path / "work"
    options = ["size", "--sizes", "300", "--work", str(work)]
    assert main([*options, "--save", str(saved)]) == 0
    assert "300 x 512" in capsys.readouterr().out
    assert main([*options, "--against", str(saved), "--json"]) == 0
    held = json.loads(capsys.readouterr().out)
    assert held["figures"]["size"]["300 x 512"]["value"] > 1000
    assert held["machine"]["cores"] >= 1
    assert "1.00" in held["against"][0][-1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["walking"], "No measurement is called 'walking'"),
        (["size", "--sizes", "lots"], "--sizes lots"),
        (["size", "--against", "nowhere.json"], "nowhere.json"),
    ],
)
def test_what_cannot_be_measured_is_refused_in_a_line(
    options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(options) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error


def test_a_measurement_that_nobody_knows_stops_all_of_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["size", "walking", "--save", str(tmp_path / "run.json")]) == 2
    assert "there are cold, indexing" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
