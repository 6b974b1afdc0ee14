"""The benchmarks against peers, without the peers: tables are whole, and what cannot be run stops nobody."""

import ast
import json
from pathlib import Path

import numpy as np
import pytest

import benchmarks.photos.run
import benchmarks.vectors.run
from benchmarks import photos, tables, vectors
from benchmarks.__main__ import main
from benchmarks.environments import CannotRun, Environment
from benchmarks.vectors import base, data

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
    assert (result["add"], result["remove"]) == ("yes", "no")


def test_the_true_neighbours_are_those_of_brute_force(tmp_path: Path) -> None:
    made = data.make(tmp_path, 500, 8)
    for kind in ("aside", "near"):
        questions, truth = made.questions(kind)
        assert np.array_equal(np.argsort(-(questions @ made.rows().T), axis=1, kind="stable")[:, : base.K], truth)


def test_descrys_own_index_runs_as_the_peers_do(tmp_path: Path) -> None:
    work = benchmarks.vectors.run.Work(tmp_path, 300, 16)
    (result,) = benchmarks.vectors.run.run(work, ["descry"], lambda _: None).values()
    assert result["recall, questions aside"] > 0.99
    assert (result["add"], result["remove"]) == ("yes", "yes")
    assert "| descry |" in tables.markdown({"descry": result}, tables.VECTORS)


def test_a_peer_that_cannot_be_run_is_told_with_its_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(_: Environment) -> None:
        raise CannotRun("pip: no such package")

    monkeypatch.setattr(Environment, "make", nothing)
    work = benchmarks.vectors.run.Work(tmp_path, 100, 8)
    results = benchmarks.vectors.run.run(work, ["hnswlib", "usearch"], lambda _: None)
    assert {result["reason"] for result in results.values()} == {"pip: no such package"}
    assert "hnswlib: not run, pip: no such package" in tables.markdown(results, tables.VECTORS)


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
