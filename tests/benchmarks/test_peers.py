"""The benchmarks against peers, without the peers: tables are whole, and what cannot be run stops nobody."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import benchmarks
from benchmarks import engines, photos, vectors
from benchmarks.__main__ import main
from benchmarks.environments import CannotRun, Environment, Row
from benchmarks.figures import PHOTOS, VECTORS, Run, markdown, notes, table
from benchmarks.inside_photos import module_of
from benchmarks.machine import ProcessFailed, Taken, best, taken
from evaluation.datasets import DataError

HERE = Path(benchmarks.__file__).parent


@pytest.mark.parametrize("peers", [vectors.PEERS, photos.PEERS])
def test_every_peer_does_all_that_is_asked_of_it_by_pinned_packages(peers: dict[str, Row]) -> None:
    asked = {"build", "open", "search", "add", "remove"} if peers is vectors.PEERS else {"index", "ask"}
    for row in peers.values():
        base = row.kind.__mro__[-2]
        assert base in (engines.Engine, photos.Peer)
        assert all(getattr(row.kind, name) is not getattr(base, name) for name in asked)
        assert all("==" in package for package in row.packages)


def test_the_file_that_peers_environments_run_needs_numpy_alone() -> None:
    code = "import sys, benchmarks.engines; print(*{name.split('.')[0] for name in sys.modules})"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=HERE.parent)
    assert not set(loaded.stdout.split()) & {"indexer", "evaluation", "faiss", "search", "torch"}


class Brute(engines.Engine):
    """An engine that looks at all vectors, and at a part of them when it is told to be quick."""

    knobs = (0.1, 1.0)

    def build(self, vectors: engines.Data, folder: Path) -> None:
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
    made = vectors.make(tmp_path / "data", 1000, 16)
    built = engines.build(Brute(), made, tmp_path / "index")
    assert built["bytes a vector"] == pytest.approx(16 * 4, rel=0.01)
    result = engines.search(Brute(), made, tmp_path / "index")
    assert result["chosen"] == "1.0"
    assert result["recall, questions aside"] == result["recall, questions near"] == 1
    assert (result["add"], result["remove"]) == ("yes", "no")


def test_the_true_neighbours_are_those_of_brute_force(tmp_path: Path) -> None:
    made = vectors.make(tmp_path, 500, 8)
    for kind in ("aside", "near"):
        questions, truth = made.questions(kind)
        assert np.array_equal(np.argsort(-(questions @ made.rows().T), axis=1, kind="stable")[:, : engines.K], truth)


def test_descrys_own_index_runs_as_the_peers_do(tmp_path: Path) -> None:
    work = vectors.Work(tmp_path, 300, 16)
    ((_, result),) = vectors.run(work, ["descry"], lambda _: None)
    assert result["recall, questions aside"] > 0.99
    assert (result["add"], result["remove"]) == ("yes", "yes")
    assert "| descry |" in markdown({"descry": result}, VECTORS)


def test_a_peer_that_cannot_be_run_is_told_with_its_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(_: Environment) -> None:
        raise CannotRun("pip: no such package")

    monkeypatch.setattr(Environment, "make", nothing)
    work = vectors.Work(tmp_path, 100, 8)
    results = dict(vectors.run(work, ["hnswlib", "usearch"], lambda _: None))
    assert {result["reason"] for result in results.values()} == {"pip: no such package"}
    assert "| hnswlib | not run: pip: no such package |" in markdown(results, VECTORS)


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
def keeping(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> vectors.Work:
    """A peer `keeping`, among the peers."""
    (tmp_path / "peers").mkdir()
    (tmp_path / "peers" / "keeping.py").write_text(KEEPING, encoding="utf-8")
    kind = type("Engine", (), {"__module__": "keeping"})
    monkeypatch.setitem(vectors.PEERS, "keeping", Row(kind, (), ""))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "peers"))
    return vectors.Work(tmp_path, 100, 8)


def test_a_build_that_was_cut_off_is_begun_anew(keeping: vectors.Work) -> None:
    vectors.make(keeping.data, keeping.count, keeping.dimension)
    sign = keeping.data / "cut off"
    sign.touch()
    ((_, result),) = vectors.run(keeping, ["keeping"], lambda _: None)
    assert result["reason"].startswith("build: AssertionError")
    sign.unlink()
    ((_, result),) = vectors.run(keeping, ["keeping"], lambda _: None)
    assert (result["add"], result["remove"]) == ("yes", "yes")


def test_nothing_that_was_built_or_changed_stays(keeping: vectors.Work) -> None:
    for _ in range(2):
        ((_, result),) = vectors.run(keeping, ["keeping"], lambda _: None)
        assert "reason" not in result
        assert not [path for path in keeping.data.iterdir() if path.is_dir()]


def test_what_is_exported_to_peers_holds_the_models_weights() -> None:
    class Model(torch.nn.Linear):
        def encode_text(self, value: torch.Tensor) -> torch.Tensor:
            return 2 * self(value)

    model = Model(3, 2)
    module = module_of(model, "encode_text")
    assert {id(weight) for weight in module.parameters()} == {id(weight) for weight in model.parameters()}
    assert torch.equal(module(torch.ones(1, 3)), 2 * model(torch.ones(1, 3)))


def test_the_command_refuses_what_it_does_not_understand(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["vectors", "--sizes", "many", "--work", str(tmp_path)]) == 2
    assert "--sizes many" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["--peers", "nobody"])


def test_results_are_json_and_tables(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    saved = tmp_path / "results.json"
    options = ["vectors", "--peers", "descry exact", "--sizes", "200", "--dimension", "8", "--work", str(tmp_path)]
    assert main([*options, "--save", str(saved)]) == 0
    (row,) = json.loads(saved.read_text())["peers"]["vectors, 200 x 8"].values()
    assert row["add"] == row["remove"] == "yes"
    assert "- descry exact: the index of a library that was not optimized" in capsys.readouterr().out


def _run_of(gigabytes: int = 16, **rows: str) -> Run:
    return Run({"gigabytes": gigabytes}, peers={"photos": {name: {"about": about} for name, about in rows.items()}})


def test_a_run_is_put_beside_what_its_file_holds_and_the_last_row_of_each_peer_counts() -> None:
    both = _run_of(rclip="late").after(_run_of(rclip="early", descry="early"))
    assert both == _run_of(rclip="late", descry="early")
    with pytest.raises(DataError, match="another machine"):
        _run_of(rclip="late").after(_run_of(gigabytes=64))


def test_a_file_that_is_no_run_is_named_and_left_as_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    note = tmp_path / "note.json"
    note.write_text("[]")
    assert main(["size", "--save", str(note)]) == 2
    assert "note.json: no run" in capsys.readouterr().err
    assert note.read_text() == "[]"


def test_peers_of_photos_have_their_table_too() -> None:
    row = {"cpu seconds a photo": 0.0401, "seconds a question": 0.309, "packages": ["rclip==3.3.0"], "date": "today"}
    rows = {"imports alone": {"seconds a question": 0.2, "date": "today"}, "rclip": row}
    assert "| rclip | 0.0401 |  |" in markdown(rows, PHOTOS)
    assert notes(rows) == "- imports alone: today\n- rclip: rclip 3.3.0; today"
    assert "**photos**" in table(Run({}, peers={"photos": rows}))


def test_the_memory_of_a_process_is_its_own_and_not_its_parents() -> None:
    held = np.ones(30_000_000)  # 240 MB here, and none there
    told = [sys.executable, "-c", "from benchmarks.engines import peak_megabytes; print(peak_megabytes())"]
    child = float(subprocess.run(told, capture_output=True, text=True, check=True, cwd=HERE.parent).stdout)
    assert child < 150 < engines.peak_megabytes()
    assert held[0] == 1


def test_a_command_that_never_ends_is_ended_with_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(photos, "LIMIT", 0.2)
    endless = photos._with({"A": "b"}, ["sleep", "60"])
    with pytest.raises(ProcessFailed) as failed:
        taken(endless)
    assert "timeout: sending signal TERM" in photos.reason(failed.value)


def test_of_several_rounds_the_least_time_and_the_most_memory_count() -> None:
    first, second = Taken(2.0, 1.0, 100.0, "a"), Taken(1.0, 3.0, 50.0, "b")
    assert best([first, second]) == Taken(1.0, 1.0, 100.0, "b")
