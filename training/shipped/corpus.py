"""What the shipped encoder is learned from, in memory: photos as bytes, what is said of each, sentences as vectors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from evaluation.class_names import phrases
from evaluation.datasets import READERS, DataError, Example, held_out
from training.features import UInt8Array
from training.features import squares as make_squares
from training.pairs import fits_by_chance
from training.shipped.recipe import Recipe, Source

# A photo that differs from a held-out one in at most so many bits of its difference hash is the same photo again: four
# of COCO's are. The next nearest pairs that are alike differ in nine.
SAME = 2


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


class Sampler:
    """Draws batches by the sources' shares; everything random comes from one generator, whose state is kept."""

    def __init__(self, corpus: Corpus, *, batch: int, captions: int, seed: int) -> None:
        self._corpus, self._batch, self._captions = corpus, batch, captions
        shares = np.array([part.source.share for part in corpus.parts])
        self._shares = shares / shares.sum()
        self.draw = np.random.default_rng(seed)

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

    def state(self) -> object:
        """What `restore` takes."""
        return self.draw.bit_generator.state

    def restore(self, state: dict[str, object]) -> None:
        """Goes on drawing where `state` was taken."""
        self.draw.bit_generator.state = state


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
