"""What the shipped encoder is learned from: photos in memory, what is said of each, and words that compete for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from evaluation.classify import phrases, with_article
from evaluation.datasets import READERS, DataError, Example, held_out
from training import data as batches
from training.data import UInt8Array, fits_by_chance
from training.features import squares as make_squares
from training.settings import read_toml
from training.shipped.recipe import Recipe, Source

# A photo that differs from a held-out one in at most so many bits of its difference hash is the same photo again: four
# of COCO's are. The next nearest pairs that are alike differ in nine.
SAME = 2

Tables = dict[str, dict[str, list[int]]]

# A label that a person gave counts so much where it is one of the classes; the rest is the classifier's: what else is
# on the photo.
LABEL = 0.9


@dataclass(frozen=True)
class Part:
    """One source: the examples to learn from and those held out, in this order, and their photos.

    `photos` is `[n, 3, side, side]` uint8, squashed to squares: Flickr8k comes so, and all must look alike.
    """

    source: Source
    examples: tuple[Example, ...]
    learned: int
    photos: UInt8Array


@dataclass(frozen=True)
class Batch:
    """Rows of photos `[n]`, numbers of sentences `[m]` with their owners' positions, where one fits by chance."""

    rows: npt.NDArray[np.int64]
    sentences: npt.NDArray[np.int64]
    owners: Tensor
    ignored: Tensor


@dataclass
class Corpus:
    """All sources in a row. A photo is a row, a sentence a number."""

    parts: Sequence[Part]
    recipe: Recipe
    sentences: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._numbers: dict[str, int] = {}
        starts = np.cumsum([0, *(len(part.examples) for part in self.parts)])
        self._starts: npt.NDArray[np.int64] = starts[:-1]
        self.examples = [example for part in self.parts for example in part.examples]
        spoken = [self._said(example) for example in self.examples]
        self.said = [np.array([self.number(sentence) for sentence in said], np.int64) for said in spoken]
        again = self._same_as_held_out()
        self.learned = [
            np.array([row for row in range(start, start + part.learned) if row not in again], np.int64)
            for part, start in zip(self.parts, self._starts.tolist(), strict=True)
        ]
        rows = np.concatenate(self.learned)
        self.pairs = np.array([(number, row) for row in rows for number in self.said[row]], np.int64).reshape(-1, 2)
        self.is_caption = np.array([bool(self.examples[row].captions) for _, row in self.pairs], bool)

    def number(self, sentence: str) -> int:
        """The number of a sentence, which is taken up if it is new."""
        if sentence not in self._numbers:
            self._numbers[sentence] = len(self.sentences)
            self.sentences.append(sentence)
        return self._numbers[sentence]

    def _said(self, example: Example) -> Sequence[str]:
        if example.captions or not example.label:
            return example.captions
        return [template.format(phrase) for phrase in phrases(example.label) for template in self.recipe.templates]

    def held_out(self, name: str) -> tuple[npt.NDArray[np.int64], list[Example]]:
        """The rows of a source's held-out photos and their examples."""
        at = next(at for at, part in enumerate(self.parts) if part.source.name == name)
        part, start = self.parts[at], int(self._starts[at])
        return np.arange(start + part.learned, start + len(part.examples)), list(part.examples[part.learned :])

    def may_be_read(self) -> npt.NDArray[np.int64]:
        """The numbers of all sentences but those that are said of held-out photos alone."""
        learned = set(self.pairs[:, 0].tolist())
        kept = {
            int(number)
            for part in self.parts
            for row in self.held_out(part.source.name)[0]
            for number in self.said[row]
        }
        return np.array([number for number in range(len(self.sentences)) if number in learned or number not in kept])

    def photo(self, row: int) -> UInt8Array:
        """A photo `[3, side, side]`."""
        at = int(np.searchsorted(self._starts, row, side="right")) - 1
        photo: UInt8Array = self.parts[at].photos[row - self._starts[at]]
        return photo

    def _same_as_held_out(self) -> set[int]:
        """The rows of photos to learn from that are held-out ones again."""
        hashes = np.concatenate([difference_hashes(part.photos) for part in self.parts if part.examples])
        kept = np.concatenate(
            [(np.arange(len(part.examples)) >= part.learned) & bool(part.examples[0].captions) for part in self.parts]
        )
        held, rest = hashes[kept], np.flatnonzero(~kept)
        if not len(held):
            return set()
        signs = 2.0 * hashes[rest].astype(np.float32) - 1
        near = (signs @ (2.0 * held.astype(np.float32) - 1).T).max(axis=1) >= hashes.shape[1] - 2 * SAME
        return set(rest[near].tolist())


class Sampler(batches.Sampler):
    """Draws batches by the sources' shares."""

    def __init__(self, corpus: Corpus, *, batch: int, captions: int, seed: int) -> None:
        super().__init__(seed)
        self._corpus, self._batch, self._captions = corpus, batch, captions
        shares = np.array([part.source.share for part in corpus.parts])
        self._shares = shares / shares.sum()

    def batch(self) -> Batch:
        """A batch of photos, none of them twice, and of sentences that belong to them."""
        counts = self.draw.multinomial(self._batch, self._shares)
        rows = np.concatenate(
            [
                self.draw.choice(rows, min(count, len(rows)), replace=False)
                for rows, count in zip(self._corpus.learned, counts, strict=True)
            ]
        )
        chosen = [self._sentences(row) for row in rows]
        owners = torch.repeat_interleave(torch.arange(len(rows)), torch.tensor([len(one) for one in chosen]))
        numbers = np.concatenate(chosen)
        kinds = [self._corpus.examples[row].label or row for row in rows.tolist()]
        sentences = [self._corpus.sentences[number] for number in numbers]
        return Batch(rows, numbers, owners, fits_by_chance(sentences, owners, kinds))

    def _sentences(self, row: int) -> npt.NDArray[np.int64]:
        said = self._corpus.said[row]
        return self.draw.choice(said, min(self._captions, len(said)), replace=False) if len(said) else said


def read_part(source: Source, data: Path, squares: Path) -> Part:
    """A source with its photos decoded, once: they are kept in the file `squares`.

    Photos of Flickr8k's test split are not read at all. Raises `DataError` naming the file and line of what is wrong.
    """
    path = data / source.path
    if not path.is_file():
        raise DataError(f"{path}: missing; it is needed by the source {source.name!r}.")
    examples = [example for example in READERS[source.reader](path) if example.split != "test"]
    learn = [example for example in examples if example.split != "val"]
    kept = [example for example in examples if example.split == "val"]
    if source.held_out:
        learn, kept = held_out(examples, every=source.held_out)
    learn = [example for example in learn if not example.label or phrases(example.label)]
    if not squares.is_file():
        squares.parent.mkdir(parents=True, exist_ok=True)
        beside = squares.with_suffix(".new.npy")
        np.save(beside, make_squares([*learn, *kept], source.side))
        beside.replace(squares)
    photos = np.load(squares)
    if len(photos) != len(learn) + len(kept):
        raise DataError(f"{squares}: made of other photos than {path} has now; give another --out.")
    return Part(source, (*learn, *kept), len(learn), photos)


def difference_hashes(photos: UInt8Array) -> npt.NDArray[np.bool_]:
    """Whether each of 8 x 8 places of photos `[n, 3, s, s]` is darker than its right neighbour: `[n, 64]`."""
    small = [
        functional.interpolate(torch.from_numpy(part).float().mean(1, keepdim=True), (8, 9), mode="area")
        for part in np.array_split(photos, max(1, len(photos) // 256))
    ]
    grey = torch.cat(small)[:, 0].numpy()
    hashes: npt.NDArray[np.bool_] = (grey[:, :, 1:] > grey[:, :, :-1]).reshape(len(photos), -1)
    return hashes


@dataclass(frozen=True)
class Vocabulary:
    """Words that compete: the numbers of the sentences that say each, and `targets` `[photos, words]` float16.

    Rows of targets sum to at most 1: what is missing is what the vocabulary has no word for.
    """

    prompts: tuple[tuple[int, ...], ...]
    targets: Tensor

    @cached_property
    def described(self) -> npt.NDArray[np.int64]:
        """The rows of the photos that the vocabulary says something of."""
        return np.flatnonzero(self.targets.sum(dim=1).numpy())

    def drawn(self, draw: np.random.Generator) -> np.ndarray:
        """The number of one sentence for each word."""
        return np.array([one[draw.integers(len(one))] for one in self.prompts])


def vocabularies(corpus: Corpus, classes: Sequence[Sequence[str]], tables: Tables) -> list[tuple[tuple[int, ...], ...]]:
    """The sentences' numbers of the classes, each given by its synonyms, and of the everyday words."""
    words = [[with_article(synonym) for synonym in synonyms] for synonyms in classes]
    return [_prompts(corpus, words), *(_prompts(corpus, [[word] for word in table]) for table in tables.values())]


def targets(
    probabilities: Tensor, examples: Sequence[Example], classes: Sequence[Sequence[str]], tables: Tables
) -> list[Tensor]:
    """What is true of photos, in the order of `vocabularies`, from `probabilities` `[photos, classes]`."""
    known = probabilities.clone()
    of_label = {synonym: number for number, synonyms in enumerate(classes) for synonym in synonyms}
    of_label |= {", ".join(synonyms): number for number, synonyms in enumerate(classes)}
    for row, example in enumerate(examples):
        if example.label in of_label:
            known[row] *= 1 - LABEL
            known[row, of_label[example.label]] += LABEL
    found = [known.half()]
    for table in tables.values():
        covers = torch.zeros(len(classes), len(table))
        for word, members in enumerate(table.values()):
            covers[members, word] = 1.0
        found.append((known @ covers).half())
    return found


def label_vocabularies(corpus: Corpus) -> list[Vocabulary]:
    """For each labelled source its labels, of which the right one is true of each of its photos."""
    found = []
    for rows in corpus.learned:
        labels = sorted({corpus.examples[row].label for row in rows} - {""})
        if labels:
            targets = torch.zeros(len(corpus.examples), len(labels), dtype=torch.float16)
            targets[rows, [labels.index(corpus.examples[row].label) for row in rows]] = 1.0
            found.append(Vocabulary(_prompts(corpus, [phrases(label) for label in labels]), targets))
    return found


def _prompts(corpus: Corpus, words: Sequence[Sequence[str]]) -> tuple[tuple[int, ...], ...]:
    templates = corpus.recipe.templates
    return tuple(tuple(corpus.number(template.format(one)) for one in ways for template in templates) for ways in words)


def read_tables(path: Path) -> Tables:
    """Word -> the classes that it covers, for each table. Raises `DataError` where words of one table overlap."""
    tables = {
        name: {
            word if word.startswith(("a ", "an ")) else with_article(word): _numbers(numbers)
            for word, numbers in table.items()
        }
        for name, table in read_toml(path).items()
    }
    for name, table in tables.items():
        flat = [number for members in table.values() for number in members]
        if twice := sorted({number for number in flat if flat.count(number) > 1}):
            raise DataError(f"{path}: in [{name}] the classes {twice} belong to two words.")
    return tables


def _numbers(text: str) -> list[int]:
    """ "3, 7-9" -> [3, 7, 8, 9]."""
    ends = [part.strip().partition("-") for part in text.split(",")]
    return [number for first, _, last in ends for number in range(int(first), int(last or first) + 1)]
