"""Several encoders side by side on the same photos; how fast they are, `python -m benchmarks --model` measures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from evaluation.classify import classify
from evaluation.datasets import READERS, Example, embed_photos, held_out
from evaluation.metrics import retrieval
from evaluation.questions import demo
from indexer.encoders import Encoder

Column = dict[str, float]

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
    return {
        name: {
            **_recalls(encoder, captioned),
            **{f"{one} top-1": _top_1(encoder, examples) for one, examples in labelled.items()},
            "demo right": float(sum(one.rank == 1 for one in demo(encoder, demo_photos))),
            "dimension": float(encoder.dimension),
        }
        for name, encoder in encoders.items()
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


def labelled_sets(data: Path) -> dict[str, list[Example]]:
    """The labelled sets below the data folder, by name; none where there is no folder of them."""
    return {path.stem: READERS["labelled_tar"](path) for path in sorted((data / "labelled").glob("*.tar"))}


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
