"""Several encoders side by side: what each finds, how large it is and how fast, measured on the same photos."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from itertools import islice
from pathlib import Path

import numpy as np
from PIL import Image

from evaluation.classify import classify
from evaluation.datasets import READERS, Example, embed_photos, held_out
from evaluation.metrics import retrieval
from evaluation.questions import demo
from indexer import shipped
from indexer.encoders import ALIASES, Encoder

Column = dict[str, float]

BATCH, BATCHES, ASKED = 32, 8, 20
QUERY = "two dogs playing in the snow"

WAYS = {"text_to_image": "text->image", "image_to_text": "image->text"}


def compare(
    encoders: Mapping[str, Encoder],
    captioned: Sequence[Example],
    labelled: Mapping[str, Sequence[Example]],
    demo_photos: Path,
) -> dict[str, Column]:
    """A column of measures for each encoder, by the name it was asked for; recalls and accuracies in percent.

    `captioned` are photos to retrieve; of each set in `labelled` the held-out tenth is classified.
    """
    return {name: measured(encoder, captioned, labelled, demo_photos) for name, encoder in encoders.items()}


def measured(
    encoder: Encoder, captioned: Sequence[Example], labelled: Mapping[str, Sequence[Example]], demo_photos: Path
) -> Column:
    """All measures of one encoder, by the names of the table's rows."""
    return {
        **_recalls(encoder, captioned),
        **{f"{name} top-1": _top_1(encoder, examples) for name, examples in labelled.items()},
        "demo right": float(sum(one.rank == 1 for one in demo(encoder, demo_photos))),
        "dimension": float(encoder.dimension),
        "megabytes": sum(path.stat().st_size for path in weights_of(encoder.name)) / 1e6,
        "photos/s": photos_a_second(encoder, demo_photos),
        "ms a query": 1000 * statistics.median(_seconds(lambda: encoder.embed("text", [QUERY])) for _ in range(ASKED)),
    }


def captioned_retrieval(encoder: Encoder, examples: Sequence[Example]) -> dict[str, Column]:
    """Retrieval both ways on captioned photos."""
    captions = encoder.embed("text", [caption for example in examples for caption in example.captions])
    owners = np.repeat(np.arange(len(examples)), [len(example.captions) for example in examples])
    return retrieval(embed_photos(encoder, examples), captions, owners)


def _recalls(encoder: Encoder, examples: Sequence[Example]) -> Column:
    table = captioned_retrieval(encoder, examples)
    return {f"{shown} R@{k}": 100 * table[way][f"R@{k}"] for way, shown in WAYS.items() for k in (1, 5, 10)}


def _top_1(encoder: Encoder, examples: Sequence[Example]) -> float:
    classes = sorted({example.label for example in examples})
    return 100 * classify(encoder, held_out(examples)[1], classes).measures()["top-1"]


def photos_a_second(encoder: Encoder, photos: Path) -> float:
    """Photos embedded from 640x480 JPEGs, decoding included."""
    files = []
    for path in sorted(photos.glob("*.jpg")):
        Image.open(path).convert("RGB").resize((640, 480)).save(jpeg := BytesIO(), "JPEG", quality=85)
        files.append(jpeg.getvalue())
    tower = encoder.tower("image")

    def embed(batches: int) -> None:
        with ThreadPoolExecutor(2) as threads:
            numbers = range(batches * BATCH)
            prepared = threads.map(lambda at: tower.prepare(Image.open(BytesIO(files[at % len(files)]))), numbers)
            for _ in range(batches):
                tower.embed(list(islice(prepared, BATCH)))

    embed(1)  # the first batch compiles kernels
    return BATCHES * BATCH / _seconds(lambda: embed(BATCHES))


def _seconds(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def labelled_sets(data: Path) -> dict[str, list[Example]]:
    """The labelled sets below the data folder, by name; none where there is no folder of them."""
    return {path.stem: READERS["labelled_tar"](path) for path in sorted((data / "labelled").glob("*.tar"))}


def weights_of(name: str) -> list[Path]:
    """The files that hold an encoder's weights, those of an ensemble's members together. Raises `UnknownEncoder`."""
    name = ALIASES.get(name, name)
    return [path for path in FILES[name.partition(":")[0]](name) if path.is_file()]


def _embedded_files(name: str) -> Iterator[Path]:
    folder = Path(name.partition(":")[2]) if ":" in name else shipped("models", "embedded")
    yield from (folder / file for file in ("config.json", "model.safetensors", "tokenizer.json"))


def _open_clip_files(name: str) -> Iterator[Path]:
    from indexer.encoders.open_clip_source import find  # late: it imports open_clip, and with it torch

    yield from find(name).files


def _ensemble_files(name: str) -> Iterator[Path]:
    from indexer.encoders.ensemble import parse

    yield from dict.fromkeys(path for member in parse(name) for path in weights_of(member.name))


# Scheme -> the files of an encoder's name.
FILES: dict[str, Callable[[str], Iterator[Path]]] = {
    "embedded": _embedded_files,
    "open_clip": _open_clip_files,
    "ensemble": _ensemble_files,
}


def side_by_side(columns: Mapping[str, Column]) -> str:
    """The columns as a text table under numbers, and below it which encoder each number stands for.

    >>> print(side_by_side({"a": {"R@1": 12.345, "demo right": 15.0}, "b": {"R@1": 7.0, "demo right": 3.0}}))
                    1      2
    R@1          12.3    7.0
    demo right     15      3
    <BLANKLINE>
    1: a
    2: b
    """
    names = list(columns)
    rows = list(columns[names[0]])
    shown = {row: [_shown(row, columns[name][row]) for name in names] for row in rows}
    first = max(map(len, rows))
    head = " " * first + "".join(f"{number:>7}" for number, _ in enumerate(names, start=1))
    body = [row.ljust(first) + "".join(f"{value:>7}" for value in values) for row, values in shown.items()]
    return "\n".join([head, *body, "", *(f"{number}: {name}" for number, name in enumerate(names, start=1))])


WHOLE = ("demo right", "dimension")


def _shown(row: str, value: float) -> str:
    return f"{value:.0f}" if row in WHOLE else f"{value:.1f}"
