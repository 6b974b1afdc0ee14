"""Embedding on a cluster: partitions that hold what `descry index` stores, whole or not at all, and go on."""

from __future__ import annotations

import io
import json
import os
import signal
import socket
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from indexer import Encoder, Library, cluster, index_sources, load_encoder
from indexer.encoders.base import unit_rows
from indexer.errors import ClusterError, PathError
from indexer.testing import COLORS, color_encoder
from indexer.transfer.importing import import_into, open_embeddings
from search.cli import main

pa = pytest.importorskip("pyarrow", reason="pyarrow is not installed: pip install 'descry[parquet]'")
pq = pytest.importorskip("pyarrow.parquet")

# Seconds in which Ray has to begin and to end a job of a few photos, on a machine that does twenty other things.
PATIENCE = 300


def paint(path: Path, color: str = "red", size: tuple[int, int] = (24, 16)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, color).save(path)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Photos of each colour in two folders, texts of two kinds, and a file that is no photo."""
    folder = tmp_path / "photos"
    for number, color in enumerate(COLORS):
        paint(folder / ("deep" if number % 2 else "") / f"{number}.png", color, (20 + number, 16))
    (folder / "captions.jsonl").write_text('{"image": "0.png", "caption": "a red one"}\n')
    (folder / "notes.txt").write_text("green and blue\n")
    (folder / "broken.jpg").write_bytes(b"no photo")
    return folder


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Has the work done in this process by the encoder of colours; gives the numbers of the tasks that were."""
    done: list[int] = []

    def run(_ray: Any, job: cluster.Job, todo: Mapping[int, str]) -> Iterator[dict[str, Any]]:
        embedder = cluster.Embedder(job, is_gpu=False)
        for task, place in todo.items():
            done.append(task)
            for piece in cluster._read_task({"task": [task], "place": [place]}, job):
                yield {name: values[0] for name, values in embedder(piece).items()}

    monkeypatch.setattr(cluster, "_ray", nullcontext)
    monkeypatch.setattr(cluster, "_run", run)
    monkeypatch.setattr(cluster, "_encoder", lambda *_, **__: color_encoder())
    return done


def held(place: Path) -> dict[tuple[Any, ...], np.ndarray]:
    """All that a library holds: the vectors by what there is to know of their items."""
    with Library.open(place) as library:
        vectors = [library.catalog.vectors(library.catalog.ids(modality)) for modality in library.catalog.counts()]
        return {
            (item.modality, item.path, item.part, item.text, json.dumps(dict(item.facts), sort_keys=True)): row
            for some in vectors
            for item, row in zip(library.catalog.items(some.ids.tolist()), some.rows, strict=True)
        }


def imported(out: Path, place: Path, encoder: Encoder) -> dict[tuple[Any, ...], np.ndarray]:
    import_into(place, open_embeddings(out), encoder)
    return held(place)


def indexed(folder: Path, place: Path, encoder: Encoder) -> dict[tuple[Any, ...], np.ndarray]:
    with Library.create(place, encoder) as library:
        index_sources(library, [folder], encoder)
    return held(place)


def same(found: Mapping[tuple[Any, ...], np.ndarray], wanted: Mapping[tuple[Any, ...], np.ndarray]) -> None:
    assert found.keys() == wanted.keys()
    pairs = [unit_rows(np.stack([found[key], row])) for key, row in wanted.items()]
    assert min(float(one @ other) for one, other in pairs) > 0.9999


def failures(out: Path) -> dict[str, str]:
    tables = [pq.read_table(path).to_pylist() for path in (out / "failed").glob("*.parquet")]
    return {Path(row["path"]).name: row["reason"] for table in tables for row in table}


@pytest.mark.usefixtures("here")
def test_partitions_hold_what_indexing_stores(folder: Path, tmp_path: Path) -> None:
    encoder, out = color_encoder(), tmp_path / "out"
    report = cluster.embed_on_ray([str(folder)], out, encoder)
    assert (report.embedded, len(report.failures)) == (10, 1)
    assert failures(out) == {"broken.jpg": "it is not a photo in any format that can be read"}
    same(imported(out, tmp_path / "a", encoder), indexed(folder, tmp_path / "b", encoder))
    with Library.create(tmp_path / "a", encoder) as library:
        again = index_sources(library, [folder], encoder)
    assert (again.embedded, len(again.failures)) == (0, 1)


def test_a_job_goes_on_with_the_partitions_that_are_missing(
    folder: Path, tmp_path: Path, here: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "TASK", 3)
    out = tmp_path / "out"
    cluster.embed_on_ray([str(folder)], out, color_encoder())
    assert here == [0, 1, 2, 3]
    first = held_ids(out)
    (lost,) = out.glob("part-00002-*.parquet")
    lost.unlink()
    report = cluster.embed_on_ray([str(folder)], out, color_encoder())
    assert here == [0, 1, 2, 3, 2]
    assert held_ids(out) == first
    assert len(set(first)) == len(first) == 10
    assert report.embedded + report.unchanged + len(report.failures) == 11
    assert cluster.embed_on_ray([str(folder)], out, color_encoder()).embedded == 0
    assert len(here) == 5


def held_ids(out: Path) -> list[tuple[int, str]]:
    rows = [row for path in sorted(out.glob("part-*.parquet")) for row in pq.read_table(path).to_pylist()]
    return [(row["id"], row["path"]) for row in rows]


@pytest.mark.usefixtures("here")
def test_a_job_is_one_of_its_sources_and_encoder(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    cluster.embed_on_ray([str(folder)], out, color_encoder())
    with pytest.raises(PathError, match="choose another --out"):
        cluster.embed_on_ray([str(folder / "deep")], out, color_encoder())
    with pytest.raises(PathError, match="choose another --out"):
        cluster.embed_on_ray([str(folder)], out, color_encoder(checksum="1"))
    (out / "part-99999-000.parquet").write_bytes((next(out.glob("part-*"))).read_bytes())
    mixed = tmp_path / "mixed"
    cluster.embed_on_ray([str(folder)], mixed, color_encoder(name="others"))
    next(mixed.glob("part-*")).rename(out / "part-99999-001.parquet")
    with pytest.raises(PathError, match="different encoders"):
        open_embeddings(out)


@pytest.mark.usefixtures("here")
def test_a_file_that_changes_after_the_plan_was_made_is_named(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = cluster._plan

    def plan_and_change(*arguments: Any) -> Any:
        made = make(*arguments)
        paint(folder / "0.png", "blue", (99, 99))
        (folder / "2.png").unlink()
        return made

    monkeypatch.setattr(cluster, "_plan", plan_and_change)
    report = cluster.embed_on_ray([str(folder)], tmp_path / "out", color_encoder())
    assert {failure.path.name for failure in report.failures} == {"broken.jpg", "0.png", "2.png"}


def sample(key: str, color: str, **told: Any) -> dict[str, Any]:
    photo = io.BytesIO()
    Image.new("RGB", (8, 8), color).save(photo, "JPEG")
    return {"key": key, "jpg": photo.getvalue(), "caption": f"a {color} one", **told}


SAMPLES = [
    sample("000000000", "red", url="http://a/1", original_width=800, original_height=600, width=8, height=8),
    sample("000000001", "blue", url="http://a/2", original_width=640, original_height=480, width=8, height=8),
]


def pack(path: Path, samples: list[dict[str, Any]]) -> Path:
    """A tar as img2dataset writes it."""
    with tarfile.open(path, "w") as tar:
        for one in samples:
            facts = {name: value for name, value in one.items() if name != "jpg"}
            files = {"jpg": one["jpg"], "txt": one["caption"].encode(), "json": json.dumps(facts).encode()}
            for suffix, content in files.items():
                member = tarfile.TarInfo(f"{one['key']}.{suffix}")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    path.with_name(f"{path.stem}_stats.json").write_text('{"count": 2, "caption": "no caption of a photo"}')
    pq.write_table(pa.table({"key": ["000000000"], "url": ["http://a/1"]}), path.with_suffix(".parquet"))
    return path


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("form", ["tar", "parquet", "address"])
def test_what_img2dataset_fetched_comes_with_its_captions_and_where_it_came_from(form: str, tmp_path: Path) -> None:
    folder = tmp_path / "fetched"
    folder.mkdir()
    shard = folder / "00000.parquet"
    if form == "parquet":
        pq.write_table(pa.Table.from_pylist([*SAMPLES, {"key": "000000002", "caption": "not fetched"}]), shard)
    else:
        shard = pack(folder / "00000.tar", SAMPLES)
    source = f"file://{folder}" if form == "address" else str(folder)
    report = cluster.embed_on_ray([source], tmp_path / "out", color_encoder())
    assert not [failure for failure in report.failures if not failure.path.name.endswith("_stats.json")]
    import_into(tmp_path / "library", open_embeddings(tmp_path / "out"), color_encoder())
    with Library.open(tmp_path / "library") as library:
        photos = library.catalog.items(library.catalog.ids("image").tolist())
        texts = library.catalog.items(library.catalog.ids("text").tolist())
    assert [photo.path for photo in photos] == [shard / "000000000.jpg", shard / "000000001.jpg"]
    facts = {"caption": "a red one", "url": "http://a/1", "width": 800, "height": 600}
    assert dict(photos[0].facts).items() >= facts.items()
    told = [(text.text, text.facts["photo"]) for text in texts if text.path.parent == shard]
    assert told == [("a red one", "000000000.jpg"), ("a blue one", "000000001.jpg")]


@pytest.mark.usefixtures("here")
def test_of_a_tar_that_was_cut_off_the_whole_photos_are_kept_and_it_is_named(tmp_path: Path) -> None:
    shard = pack(tmp_path / "00000.tar", SAMPLES)
    content = shard.read_bytes()
    shard.write_bytes(content[: content.index(b"000000001.jpg") + 700])
    report = cluster.embed_on_ray([str(shard)], tmp_path / "out", color_encoder())
    assert "it is damaged or cut off" in failures(tmp_path / "out")["00000.tar"]
    assert report.embedded >= 2


@pytest.mark.usefixtures("here")
def test_a_tar_writes_nowhere_else(tmp_path: Path) -> None:
    shard = pack(tmp_path / "00000.tar", [{**SAMPLES[0], "key": "../../../escaped"}])
    cluster.embed_on_ray([str(shard)], tmp_path / "out", color_encoder())
    assert "00000.tar" in failures(tmp_path / "out")
    assert not list(tmp_path.rglob("escaped*"))


@pytest.mark.usefixtures("here")
def test_photos_in_a_store_have_their_address(folder: Path, tmp_path: Path) -> None:
    cluster.embed_on_ray([f"file://{folder}"], tmp_path / "out", color_encoder())
    rows = [row for path in (tmp_path / "out").glob("part-*") for row in pq.read_table(path).to_pylist()]
    photo = next(row for row in rows if row["path"] == str(folder / "0.png"))
    assert json.loads(photo["facts"])["url"] == f"file://{folder}/0.png"
    assert len({row["path"] for row in rows}) == 10


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["/nowhere/at/all", "--on", "ray", "--out", "OUT"], "There is no folder or file /nowhere/at/all"),
        (["nosuch://bucket", "--on", "ray", "--out", "OUT"], "nosuch://bucket"),
        (["ftp://ann:secret@host/photos", "--on", "ray", "--out", "OUT"], "An address holds no password"),
        (["FOLDER", "--on", "ray"], "--on ray needs PATHS and --out DIR"),
        (["FOLDER", "--out", "OUT"], "belong to --on ray"),
        (["s3://photos"], "s3://photos"),
    ],
)
def test_a_job_that_cannot_be_is_refused_in_a_line(arguments: list[str], told: str, tmp_path: Path) -> None:
    named = {"OUT": str(tmp_path / "out"), "FOLDER": str(tmp_path)}
    done = CliRunner().invoke(main, ["index", *(named.get(argument, argument) for argument in arguments)])
    assert done.exit_code == 2
    assert told in done.output
    assert "secret" not in done.output


def test_without_ray_the_extra_is_named(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ClusterError, match=r"pip install 'descry\[ray\]'"):
        cluster.embed_on_ray([str(folder)], tmp_path / "out", color_encoder())


def test_a_cluster_that_does_not_answer_is_not_waited_for(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{free.getsockname()[1]}")
        with pytest.raises(ClusterError, match="does not answer"):
            cluster.embed_on_ray([str(folder)], tmp_path / "out", color_encoder())


@pytest.fixture
def ray_cluster() -> Iterator[dict[str, str]]:
    """The environment in which Ray of two workers answers, on the loopback address alone."""
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'descry[ray]'")
    ports = iter(free_ports(5))
    address = f"127.0.0.1:{next(ports)}"
    environment = {
        **os.environ,
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": os.urandom(16).hex(),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # else 127.0.0.1 is taken for the address of a network card
    }
    options = {"port": address.rpartition(":")[2], "node-ip-address": "127.0.0.1", "num-cpus": "2"}
    options |= {"object-store-memory": "100000000", "include-dashboard": "false"}
    # the raylet waits 15 seconds for agents to say which ports they chose, and dies
    agents = ("dashboard-agent-listen-port", "dashboard-agent-grpc-port", "metrics-export-port")
    options |= {name: str(next(ports)) for name in (*agents, "runtime-env-agent-port")}
    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as scratch:
        given = [f"--{name}={value}" for name, value in {**options, "temp-dir": scratch}.items()]
        command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", *given]
        with Path(scratch, "log").open("wb") as log:
            node = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
        try:
            for _ in range(PATIENCE):
                said = Path(scratch, "log").read_text(errors="replace")
                if "Ray runtime started" in said or node.poll() is not None:
                    break
                with suppress(subprocess.TimeoutExpired):
                    node.wait(1)
            if "Ray runtime started" not in said:
                pytest.skip(f"Ray does not begin here: {said[-300:]}")
            yield {**environment, "RAY_ADDRESS": address}
        finally:
            node.terminate()
            try:
                node.wait(60)
            except subprocess.TimeoutExpired:
                os.killpg(node.pid, signal.SIGKILL)
                node.wait()


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


@pytest.mark.timeout(3 * PATIENCE)
def test_two_workers_of_ray_make_the_vectors_of_the_shipped_encoder(
    ray_cluster: dict[str, str], folder: Path, tmp_path: Path
) -> None:
    encoder, out = load_encoder(), tmp_path / "out"
    given = ["index", folder, "--on", "ray", "--out", out]
    command = [sys.executable, "-m", "descry", *map(str, given)]
    done = subprocess.run(command, env=ray_cluster, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 1, done.stderr
    assert "10 embedded, 1 failed" in done.stdout
    same(imported(out, tmp_path / "a", encoder), indexed(folder, tmp_path / "b", encoder))
