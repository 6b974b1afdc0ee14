"""Everything that is learned from, in memory: photos as bytes, their sentences, and the words that are true of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from evaluation.class_names import phrases
from evaluation.datasets import READERS, DataError, Example, held_out
from training.shipped.drawn import KINDS, drawn
from training.shipped.words import Groups, Vocabulary, class_words, group_phrases

# The reader of the one source that is not read. Sixty of a kind: they are all alike, and are cropped anew each time.
DRAWN = "drawn"
DRAWN_OF_A_KIND = 60


@dataclass(frozen=True)
class Source:
    """One data set: where it is below the data folder, how it is read, how large its photos are kept.

    `side` is what the files hold, so that nothing is lost and nothing invented; `share` is the part of a batch that
    is drawn from it.
    """

    name: str
    path: str
    reader: str
    side: int
    share: float


@dataclass(frozen=True)
class Part:
    """One source, read: its examples to train on and, if wanted, their photos `[n, 3, side, side]` uint8."""

    source: Source
    examples: tuple[Example, ...]
    photos: npt.NDArray[np.uint8]
    phrases: Callable[[str], Sequence[str]] = phrases


def offsets(parts: Sequence[Part]) -> npt.NDArray[np.int64]:
    """Where each part's photos begin when all stand in a row, and behind them their number: `[parts + 1]`."""
    return np.cumsum([0, *(len(part.examples) for part in parts)])


def read_part(source: Source, data: Path) -> Part:
    """A source's training photos, squashed to squares: Flickr8k comes so, and all must look alike.

    Val and test photos are left out, and so are the held-out tenths of labelled sets.
    Raises `DataError` naming the file and line of what is wrong.
    """
    if source.reader == DRAWN:
        return draw_part(source)
    examples = training_examples(source, data)
    return Part(source, tuple(examples), squares(examples, source.side))


def said_of_photos(parts: Sequence[Part]) -> tuple[list[str], list[int]]:
    """All that people said of photos, captions and names of classes, and the row of the photo of each sentence."""
    said = [
        (sentence, row)
        for part, start in zip(parts, offsets(parts).tolist(), strict=False)
        for row, example in enumerate(part.examples, start=start)
        for sentence in example.captions or (part.phrases(example.label) if example.label else ())
    ]
    return [sentence for sentence, _ in said], [row for _, row in said]


def draw_part(source: Source) -> Part:
    """Photos drawn by rule, the same ones every time, labelled with what they show."""
    draw = np.random.default_rng(0)
    kinds = [kind for kind in KINDS for _ in range(DRAWN_OF_A_KIND)]
    examples = tuple(Example(f"drawn:{number}", b"", label=kind) for number, kind in enumerate(kinds))
    photos = np.stack([drawn(kind, source.side, draw) for kind in kinds])
    return Part(source, examples, photos, lambda kind: KINDS[kind][0])


def squares(examples: Sequence[Example], side: int) -> npt.NDArray[np.uint8]:
    """The photos of examples as `[n, 3, side, side]` uint8."""
    with ThreadPoolExecutor(2) as threads:
        return np.stack(list(threads.map(lambda example: _square(example, side), examples)))


def training_examples(source: Source, data: Path) -> list[Example]:
    """The examples of a source that may be learned from."""
    if source.reader not in READERS:
        raise DataError(f"{source.name}: no reader is called {source.reader!r}; there are {', '.join(READERS)}.")
    path = data / source.path
    if not path.is_file():
        raise DataError(f"{path}: missing; it is needed by the source {source.name!r}.")
    examples = READERS[source.reader](path)
    if source.reader == "labelled_tar":
        examples, _ = held_out(examples)
    return [example for example in examples if example.split not in ("val", "test")]


def _square(example: Example, side: int) -> npt.NDArray[np.uint8]:
    try:
        pixels = example.picture().convert("RGB").resize((side, side), Image.Resampling.BILINEAR)
    except OSError as error:
        raise DataError(f"{example.where}: the photo cannot be read ({error}).") from error
    return np.ascontiguousarray(np.asarray(pixels).transpose(2, 0, 1))  # (side, side, 3) -> (3, side, side)


def label_vocabulary(part: Part, offset: int, total: int) -> Vocabulary | None:
    """The classes of a labelled source as a vocabulary over all `total` photos, of which its own begin at `offset`."""
    labels = sorted({example.label for example in part.examples if example.label and part.phrases(example.label)})
    if not labels:
        return None
    targets = torch.zeros(total, len(labels), dtype=torch.float16)
    for row, example in enumerate(part.examples, start=offset):
        if example.label in labels:
            targets[row, labels.index(example.label)] = 1.0
    return Vocabulary(part.source.name, tuple(tuple(part.phrases(label)) for label in labels), targets, labelled=True)


def teacher_vocabularies(
    probabilities: Tensor, names: Sequence[Sequence[str]], groups: dict[str, Groups]
) -> list[Vocabulary]:
    """The teacher's classes and the words that stand for groups of them, `probabilities` being `[photos, classes]`."""
    leaves = Vocabulary("imagenet", class_words(names), probabilities.half())
    grouped = [
        Vocabulary(name, group_phrases(group.words), (probabilities @ group.matrix(len(names))).half())
        for name, group in groups.items()
    ]
    return [leaves, *grouped]


def with_labels(probabilities: Tensor, examples: Sequence[Example], names: Sequence[Sequence[str]]) -> Tensor:
    """The teacher's probabilities, corrected where a photo's label *is* one of its classes: a person knew better.

    A tenth stays with the teacher: what else is in the photo. Of drawn photos it is not asked at all.
    """
    class_of = {", ".join(synonyms): number for number, synonyms in enumerate(names)}
    corrected = probabilities.clone()
    for row, example in enumerate(examples):
        if example.where.startswith(DRAWN):
            corrected[row] = 0.0
        elif example.label in class_of:
            corrected[row] *= 0.1
            corrected[row, class_of[example.label]] += 0.9
    return corrected
