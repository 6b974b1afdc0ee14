"""`python -m benchmarks.serving --library LIB`: `descry serve` under load, and clip-retrieval's service beside it.

The server is a process of its own on loopback. Questions come at a rate of their own, whether earlier ones were
answered or not (httpx, an open loop); thumbnails as fast as 16 connections take them (wrk, a closed loop); and many
clients ask at once, each its next question when it has its answer. Photos on the screen are timed in Chromium.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import numpy as np
from platformdirs import user_cache_path

from benchmarks.environments import ROOT, CannotRun, Environment
from benchmarks.figures import told
from benchmarks.machine import Command, descry, machine
from benchmarks.photos import CLIP_RETRIEVAL
from indexer.library import Library

Question = Callable[[str], dict[str, Any]]

QUESTIONS = ROOT / "evaluation" / "everyday_queries.json"
HITS = 50
RATE, SECONDS = 20.0, 15.0
CLIENTS, EACH = 50, 12
CONNECTIONS = 16

# Seconds that a server may take to start, and a question to be answered.
START_IN, ANSWER_IN = 180.0, 60.0

# What counts as photos on the screen: all of the tiles in sight have theirs.
IN_SIGHT = """() => {
  const high = innerHeight;
  const tiles = [...document.querySelectorAll('.tile')].filter((tile) => tile.getBoundingClientRect().top < high);
  return tiles.length > 5 && tiles.every((tile) => tile.classList.contains('loaded'));
}"""
ONE_IN_SIGHT = "() => Boolean(document.querySelector('.tile.loaded'))"


class Served(NamedTuple):
    """A server's process and how it is asked: a path, and what makes a sentence the JSON of a question."""

    process: subprocess.Popen[bytes]
    address: str
    path: str
    question: Question

    def cpu_seconds(self) -> float:
        """Processor seconds of the process so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def megabytes(self) -> float:
        """Memory that the process holds now, mapped files included."""
        (held,) = re.findall(r"VmRSS:\s+(\d+)", Path(f"/proc/{self.process.pid}/status").read_text())
        return int(held) / 1000


@contextmanager
def served(command: Command, address: str, path: str, question: Question, **more: str) -> Iterator[Served]:
    """A server, once it answers; it is ended with the block. Raises `CannotRun` if it does not start."""
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(list(map(str, command)), stdout=said, stderr=said, env={**os.environ, **more})
        try:
            server, until = Served(process, address, path, question), time.monotonic() + START_IN
            while not _answers(server):
                if process.poll() is not None or time.monotonic() > until:
                    said.seek(0)
                    raise CannotRun(said.read().decode(errors="replace").strip()[-300:])
                time.sleep(0.2)
            yield server
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _answers(server: Served) -> bool:
    try:
        answer = httpx.post(server.address + server.path, json=server.question("warm up"), timeout=ANSWER_IN)
    except httpx.HTTPError:
        return False
    return answer.status_code == httpx.codes.OK


@asynccontextmanager
async def client(server: Served, connections: int) -> AsyncIterator[httpx.AsyncClient]:
    """A client that keeps so many connections."""
    limits = httpx.Limits(max_connections=connections, max_keepalive_connections=connections)
    async with httpx.AsyncClient(base_url=server.address, limits=limits, timeout=ANSWER_IN) as opened:
        yield opened


async def at_a_rate(server: Served, sentences: Sequence[str], rate: float, seconds: float) -> dict[str, Any]:
    """Latencies of questions that begin `rate` times a second, in milliseconds from when each was due."""
    took: list[float] = []

    async def ask(opened: httpx.AsyncClient, sentence: str, due: float) -> None:
        (await opened.post(server.path, json=server.question(sentence))).raise_for_status()
        took.append(1000 * (time.perf_counter() - due))

    count = int(rate * seconds)
    async with client(server, 64) as opened:
        for sentence in sentences[:20]:
            await ask(opened, sentence, 0)
        took.clear()
        used, began = server.cpu_seconds(), time.perf_counter()
        tasks = []
        for number in range(count):
            due = began + number / rate
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            tasks.append(asyncio.create_task(ask(opened, sentences[number % len(sentences)], due)))
        await asyncio.gather(*tasks)
    used = server.cpu_seconds() - used
    return {**_percentiles(took), "CPU ms a question": 1000 * used / count}


async def at_once(server: Served, sentences: Sequence[str], clients: int, each: int) -> dict[str, Any]:
    """Clients that ask one question after the other, all at the same time; the slowest and the quickest of them."""
    own: list[list[float]] = [[] for _ in range(clients)]

    async def asking(opened: httpx.AsyncClient, number: int) -> None:
        for turn in range(each):
            began = time.perf_counter()
            sentence = sentences[(number * each + turn) % len(sentences)]
            (await opened.post(server.path, json=server.question(sentence))).raise_for_status()
            own[number].append(1000 * (time.perf_counter() - began))

    async with client(server, clients) as opened:
        used, began = server.cpu_seconds(), time.perf_counter()
        await asyncio.gather(*(asking(opened, number) for number in range(clients)))
        seconds, used = time.perf_counter() - began, server.cpu_seconds() - used
    means = [float(np.mean(took)) for took in own]
    return {
        **_percentiles([one for took in own for one in took]),
        "questions/s": clients * each / seconds,
        "CPU ms a question": 1000 * used / (clients * each),
        "slowest client, times the mean": max(means) / float(np.mean(means)),
    }


def _percentiles(took: Sequence[float]) -> dict[str, float]:
    p50, p95, p99 = np.percentile(took, (50, 95, 99))
    return {"p50 ms": float(p50), "p95 ms": float(p95), "p99 ms": float(p99), "most ms": max(took)}


def thumbnails(server: Served, ids: Sequence[int], seconds: int) -> dict[str, Any]:
    """Thumbnails a second as wrk gets them, each of the ids in turn. Raises `CannotRun` where there is no wrk."""
    tool = shutil.which("wrk")
    if tool is None:
        raise CannotRun("wrk is not installed: apt install wrk")
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(f"local ids, at = {{{','.join(map(str, ids))}}}, 0\n")
        script.write("function request() at = at % #ids + 1\n")
        script.write("  return wrk.format('GET', '/api/items/' .. ids[at] .. '/thumbnail') end\n")
        script.flush()
        used = server.cpu_seconds()
        options = ["-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--latency", "-s", script.name]
        done = subprocess.run([tool, *options, server.address], capture_output=True, text=True, check=True)
        used = server.cpu_seconds() - used
    (rate,) = re.findall(r"Requests/sec:\s+([\d.]+)", done.stdout)
    (count,) = re.findall(r"(\d+) requests in", done.stdout)
    (p99,) = re.findall(r"99%\s+(\S+)", done.stdout)
    refused = re.findall(r"Non-2xx or 3xx responses: (\d+)", done.stdout)
    return {
        "thumbnails/s": float(rate),
        "p99": p99,
        "CPU ms a thumbnail": 1000 * used / int(count),
        "refused": int(refused[0]) if refused else 0,
    }


def on_the_screen(server: Served, rounds: int = 3) -> dict[str, Any]:
    """Milliseconds until Chromium shows the first photo, and all in sight; a new profile each time. Median of rounds.

    Raises `CannotRun` without playwright and Chromium.
    """
    path = shutil.which("chromium") or shutil.which("google-chrome")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        path = None
    if path is None:
        raise CannotRun("playwright and Chromium are not here")
    one, all_of_them = [], []
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=path, args=["--no-sandbox"])
        for _ in range(rounds):
            page = browser.new_context(viewport={"width": 1440, "height": 900}).new_page()
            began = time.perf_counter()
            page.goto(server.address, wait_until="commit")
            page.wait_for_function(ONE_IN_SIGHT, polling=10)
            one.append(1000 * (time.perf_counter() - began))
            page.wait_for_function(IN_SIGHT, polling=10)
            all_of_them.append(1000 * (time.perf_counter() - began))
            page.context.close()
        browser.close()
    return {"first photo, ms": float(np.median(one)), "all in sight, ms": float(np.median(all_of_them))}


def measured(server: Served, sentences: Sequence[str]) -> dict[str, Any]:
    """Questions at a rate, and clients at once."""
    return {
        f"{RATE:.0f} questions/s": asyncio.run(at_a_rate(server, sentences, RATE, SECONDS)),
        f"{CLIENTS} clients at once": asyncio.run(at_once(server, sentences, CLIENTS, EACH)),
        "megabytes": server.megabytes(),
    }


def plain(sentence: str) -> dict[str, Any]:
    """The nearest photos, and nothing else."""
    return {"query": sentence, "k": HITS}


def as_the_page_asks(sentence: str) -> dict[str, Any]:
    """A hundred photos, folded, with the probability that they fit, by their names too."""
    return {"query": sentence, "k": 100, "judge": True, "unique": True, "by_words": None}


def own(library: Path, sentences: Sequence[str], *, questions_only: bool = False) -> dict[str, Any]:
    """Descry's figures for a library; those of questions alone if `questions_only`."""
    port = free_port()
    with Library.open(library) as opened:
        ids = opened.catalog.ids(modality="image").tolist()
        said: dict[str, Any] = {"encoder": opened.encoder_name, "photos": len(ids)}
    random.Random(0).shuffle(ids)
    command = descry("--library", library, "serve", "--port", str(port))
    with served(command, f"http://127.0.0.1:{port}", "/api/search", plain) as server:
        said |= measured(server, sentences)
        if questions_only:
            return said
        page = server._replace(question=as_the_page_asks)
        said["as the page asks"] = asyncio.run(at_a_rate(page, sentences, RATE, SECONDS))
        parts: dict[str, Callable[[], dict[str, Any]]] = {
            "made at once": lambda: thumbnails(server, ids[:500], 3),
            "thumbnails": lambda: thumbnails(server, ids[:500], 8),
            "on the screen": lambda: on_the_screen(server),
        }
        for name, find in parts.items():
            try:
                said[name] = find()
            except CannotRun as error:
                said[name] = {"not run": str(error)}
    return said


def peer(library: Path, work: Path, sentences: Sequence[str]) -> dict[str, Any]:
    """clip-retrieval's service, with the vectors and the encoder of a library of open_clip's. Raises `CannotRun`."""
    environment = Environment.below(work, CLIP_RETRIEVAL)
    environment.make()
    with Library.open(library) as opened:
        model = opened.encoder_name
        ids = opened.catalog.ids(modality="image")
        vectors = opened.catalog.vectors(ids.tolist()).rows
        paths = [str(item.path) for item in opened.catalog.items(ids.tolist())]
    folder = work / "clip-retrieval"
    shutil.rmtree(folder, ignore_errors=True)
    for name in ("img_emb", "metadata"):
        (folder / "embeddings" / name).mkdir(parents=True)
    import pyarrow
    import pyarrow.parquet

    np.save(folder / "embeddings" / "img_emb" / "img_emb_0.npy", vectors.astype(np.float16))
    table = pyarrow.table({"image_path": paths})
    pyarrow.parquet.write_table(table, folder / "embeddings" / "metadata" / "metadata_0.parquet")
    tool = environment.tool("clip-retrieval")
    index = [tool, "index", "--embeddings_folder", folder / "embeddings", "--index_folder", folder / "index"]
    done = subprocess.run(list(map(str, index)), capture_output=True, text=True, check=False)
    if done.returncode:
        raise CannotRun(done.stderr.strip()[-300:])
    names = folder / "indices_paths.json"
    names.write_text(json.dumps({"photos": str(folder / "index")}), encoding="utf-8")
    port = free_port()
    command: list[str | Path] = [
        *(tool, "back", "--port", str(port), "--indices_paths", names, "--clip_model", model),
        *("--provide_safety_model", "False", "--provide_violence_detector", "False"),
        *("--provide_aesthetic_embeddings", "False", "--enable_mclip_option", "False", "--use_jit", "False"),
        *("--columns_to_return", '["image_path"]', "--enable_faiss_memory_mapping", "True"),
    ]
    asked = {"modality": "image", "num_images": HITS, "num_result_ids": HITS, "indice_name": "photos"}
    plainly = {"deduplicate": False, "use_safety_model": False, "use_violence_detector": False}

    def question(sentence: str) -> dict[str, Any]:
        return {"text": sentence, **asked, **plainly}

    offline = {"HF_HUB_OFFLINE": "1", "WANDB_MODE": "disabled"}
    with served(command, f"http://127.0.0.1:{port}", "/knn-service", question, **offline) as server:
        return {"encoder": model, "photos": len(paths), **measured(server, sentences)}


def free_port() -> int:
    """A port that nobody listens at."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def main(arguments: list[str] | None = None) -> int:
    """Measures, and prints what it found as JSON under the machine."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving", description=__doc__)
    parser.add_argument("--library", type=Path, required=True, help="of photos, such as Flickr8k's")
    parser.add_argument("--peer-library", type=Path, help="the same photos by a model of open_clip, for clip-retrieval")
    parser.add_argument("--work", type=Path, default=user_cache_path("descry") / "benchmarks", help="for environments")
    options = parser.parse_args(arguments)
    sentences = list(json.loads(QUESTIONS.read_text(encoding="utf-8")))
    found: dict[str, Any] = {"load": os.getloadavg()[0], "descry": own(options.library, sentences)}
    if options.peer_library:
        found["descry, the peer's encoder"] = own(options.peer_library, sentences, questions_only=True)
        try:
            found["clip-retrieval"] = peer(options.peer_library, options.work, sentences)
        except CannotRun as error:
            found["clip-retrieval"] = {"not run": str(error)}
    print(told(machine()))
    print(json.dumps(found, indent=1, default=lambda value: round(float(value), 2)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
