"""The benchmarks against peers, without the peers: tables are whole, and what cannot be run stops nobody."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import benchmarks.photos.run
import benchmarks.vectors.run
from benchmarks import photos, tables, vectors
from benchmarks import saved as saved_runs
from benchmarks.__main__ import main
from benchmarks.environments import CannotRun, Environment
from benchmarks.photos.run import Indexed, best
from benchmarks.vectors import base, data
from evaluation.datasets import DataError
from evaluation.speed.processes import ProcessFailed, taken

HERE = Path(benchmarks.__file__).parent
PARTS = {"vectors": vectors.PEERS, "photos": photos.PEERS}


@pytest.mark.parametrize("part", PARTS)
def test_every_peer_is_a_file_that_does_all_that_is_asked_of_a_peer(part: str) -> None:
    asked = {"build", "open", "turn", "search", "add", "remove"} if part == "vectors" else {"prepare", "index", "ask"}
    for row in PARTS[part].values():
        tree = ast.parse((HERE / part / f"{row.module}.py").read_text(encoding="utf-8"))
        (peer,) = [node for node in tree.body if isinstance(node, ast.ClassDef)]
        if not (peer.bases):  # else it takes the rest from another peer
            assert asked <= {node.name for node in peer.body if isinstance(node, ast.FunctionDef)}, row.module


@pytest.mark.parametrize("part", PARTS)
def test_every_package_is_pinned(part: str) -> None:
    assert all("==" in package for row in PARTS[part].values() for package in row.packages)


class Brute:
    """An engine that looks at all vectors, and at a part of them when it is told to be quick."""

    knobs = (0.1, 1.0)

    def build(self, vectors: base.Data, folder: Path) -> None:
        np.save(folder / "copy.npy", np.concatenate([rows for _, rows in vectors.pieces()]))

    def open(self, folder: Path) -> None:
        self.rows = np.load(folder / "copy.npy")
        self.share = 1.0

    def turn(self, knob: float) -> None:
        self.share = knob

    def search(self, question: np.ndarray, k: int) -> list[int]:
        seen = self.rows[: int(self.share * len(self.rows))]
        return np.argsort(-(seen @ question), kind="stable")[:k].tolist()

    def add(self, id: int, row: np.ndarray) -> None:
        assert id == len(self.rows)
        self.rows = np.vstack([self.rows, row])

    def remove(self, id: int) -> None:
        raise NotImplementedError


def test_an_engine_is_turned_up_until_it_finds_enough(tmp_path: Path) -> None:
    made = data.make(tmp_path / "data", 1000, 16)
    built = base.build(Brute(), made, tmp_path / "index")
    assert built.bytes_a_vector == pytest.approx(16 * 4, rel=0.01)
    result = base.search(Brute(), made, tmp_path / "index")
    assert result["chosen"] == "1.0"
    assert result["recall, questions aside"] == result["recall, questions near"] == 1
    assert base.change(Brute(), made, tmp_path / "index") == {"add": "yes", "remove": "no"}


def test_the_true_neighbours_are_those_of_brute_force(tmp_path: Path) -> None:
    made = data.make(tmp_path, 500, 8)
    for kind in ("aside", "near"):
        questions, truth = made.questions(kind)
        assert np.array_equal(np.argsort(-(questions @ made.rows().T), axis=1, kind="stable")[:, : base.K], truth)


def test_descrys_own_index_runs_as_the_peers_do(tmp_path: Path) -> None:
    work = benchmarks.vectors.run.Work(tmp_path, 300, 16)
    ((_, result),) = benchmarks.vectors.run.run(work, ["descry"], lambda _: None)
    assert result["recall, questions aside"] > 0.99
    assert (result["add"], result["remove"]) == ("yes", "yes")
    assert "| descry |" in tables.markdown({"descry": result}, tables.VECTORS)


def test_a_peer_that_cannot_be_run_is_told_with_its_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(_: Environment) -> None:
        raise CannotRun("pip: no such package")

    monkeypatch.setattr(Environment, "make", nothing)
    work = benchmarks.vectors.run.Work(tmp_path, 100, 8)
    results = dict(benchmarks.vectors.run.run(work, ["hnswlib", "usearch"], lambda _: None))
    assert {result["reason"] for result in results.values()} == {"pip: no such package"}
    assert "| hnswlib | not run: pip: no such package |" in tables.markdown(results, tables.VECTORS)


# A peer of whose steps one can be cut off, and whose changes are kept at once, as in a database.
KEEPING = """
from pathlib import Path

class Engine:
    knobs = ()

    def build(self, data, folder):
        assert not (folder / "rows").exists(), "a stale build is in the way"
        (folder / "rows").write_text("\\n".join(map(str, range(data.count))))
        assert not (data.folder / "cut off").exists()

    def open(self, folder):
        self.file = folder / "rows"

    def search(self, question, k):
        rows = self.file.read_text().split()
        assert len(set(rows)) == len(rows), "a row is there twice"
        return [int(row) for row in reversed(rows)][:k]

    def add(self, id, row):
        self.file.write_text(self.file.read_text() + f"\\n{id}")

    def remove(self, id):
        self.file.write_text(self.file.read_text().replace(f"\\n{id}", ""))
"""


@pytest.fixture
def keeping(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> benchmarks.vectors.run.Work:
    """A peer `keeping`, among the peers."""
    package = Path(vectors.__file__).parent
    module = tmp_path / "peers" / "keeping.py"
    module.parent.mkdir()
    module.write_text(KEEPING, encoding="utf-8")
    monkeypatch.setitem(vectors.PEERS, "keeping", vectors.Row("keeping", (), ""))
    starter = f"import benchmarks.vectors; benchmarks.vectors.__path__.append({str(module.parent)!r})"
    (module.parent / "sitecustomize.py").write_text(
        f"import sys; sys.path.append({str(package.parent.parent)!r}); {starter}"
    )
    monkeypatch.setenv("PYTHONPATH", str(module.parent))
    return benchmarks.vectors.run.Work(tmp_path, 100, 8)


def test_a_build_that_was_cut_off_is_begun_anew(keeping: benchmarks.vectors.run.Work) -> None:
    data.make(keeping.data, keeping.count, keeping.dimension)
    sign = keeping.data / "cut off"
    sign.touch()
    ((_, result),) = benchmarks.vectors.run.run(keeping, ["keeping"], lambda _: None)
    assert result["reason"].startswith("build: AssertionError")
    sign.unlink()
    ((_, result),) = benchmarks.vectors.run.run(keeping, ["keeping"], lambda _: None)
    assert (result["add"], result["remove"]) == ("yes", "yes")


def test_what_is_built_is_kept_for_the_next_run_as_it_was_built(keeping: benchmarks.vectors.run.Work) -> None:
    ((_, first),) = benchmarks.vectors.run.run(keeping, ["keeping"], lambda _: None)
    ((_, again),) = benchmarks.vectors.run.run(keeping, ["keeping"], lambda _: None)
    assert "reason" not in again
    assert first["built"] == again["built"]
    assert [path.name for path in (keeping.data / "built").iterdir()] == ["keeping"]


def test_the_command_refuses_what_it_does_not_understand(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["vectors", "--sizes", "many", "--work", str(tmp_path)]) == 2
    assert "--sizes many" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["--peers", "nobody"])


def test_results_are_json(tmp_path: Path) -> None:
    saved = tmp_path / "results.json"
    options = ["vectors", "--peers", "descry exact", "--sizes", "200", "--dimension", "8", "--work", str(tmp_path)]
    assert main([*options, "--save", str(saved)]) == 0
    held = json.loads(saved.read_text())
    assert set(held) == {"machine", "vectors, 200 x 8"}
    assert saved_runs.main([str(saved), "--save", str(tmp_path / "both.json")]) == 0
    assert json.loads((tmp_path / "both.json").read_text()) == held


def _run_of(date: str, gigabytes: int = 16, **rows: dict[str, str]) -> dict[str, dict[str, object]]:
    return {"machine": {"gigabytes": gigabytes, "date": date}, "photos": dict(rows)}


def test_of_several_runs_the_last_row_of_each_peer_counts() -> None:
    early = _run_of("2026-01-01T10:00", rclip={"about": "early"}, descry={"about": "early"})
    late = _run_of("2026-01-01T11:00", rclip={"about": "late"})
    both = saved_runs.merged([late, early])
    assert both["photos"] == {"descry": {"about": "early"}, "rclip": {"about": "late"}}
    assert list(both["photos"]) == ["descry", "rclip"], "in the order of the table"
    assert both["machine"] == late["machine"]


def test_runs_of_two_machines_do_not_stand_in_one_table() -> None:
    with pytest.raises(DataError, match="2 machines"):
        saved_runs.merged([_run_of("2026-01-01"), _run_of("2026-01-01", gigabytes=64)])


def test_a_file_that_is_no_run_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "note.json").write_text("[]")
    assert saved_runs.main([str(tmp_path / "note.json")]) == 2
    assert "note.json: no run" in capsys.readouterr().err


def test_the_memory_of_a_process_is_its_own_and_not_its_parents() -> None:
    held = np.ones(30_000_000)  # 240 MB here, and none there
    told = [sys.executable, "-c", "from benchmarks.vectors.base import peak_megabytes; print(peak_megabytes())"]
    child = float(subprocess.run(told, capture_output=True, text=True, check=True, cwd=HERE.parent).stdout)
    assert child < 150 < base.peak_megabytes()
    assert held[0] == 1


def test_a_command_that_never_ends_is_ended_with_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmarks.photos.run, "LIMIT", 0.2)
    endless = benchmarks.photos.run._with({"A": "b"}, ["sleep", "60"])
    with pytest.raises(ProcessFailed) as failed:
        taken(endless)
    assert "timeout: sending signal TERM" in benchmarks.photos.run.reason(failed.value)


def test_of_several_rounds_the_least_time_and_the_most_memory_count() -> None:
    first, second = Indexed(2.0, 1.0, 100.0, 7), Indexed(1.0, 3.0, 50.0, 7)
    assert best([first, second]) == Indexed(1.0, 1.0, 100.0, 7)
