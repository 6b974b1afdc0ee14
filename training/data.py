"""What is learned from: photos with what is said of them, read, checked, drawn in batches, cropped and lit anew."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from evaluation.classify import phrases
from evaluation.datasets import READERS, DataError, Example, held_out
from indexer.errors import SourceError
from indexer.photos.opening import ALL_FORMATS, open_photo
from indexer.photos.preprocessing import Preprocessing
from training.settings import Augmentation, DataSource

UInt8Array = npt.NDArray[np.uint8]
Embed = Callable[[Sequence[str]], Tensor]
T = TypeVar("T")


def read_source(source: DataSource, data: Path) -> list[Example]:
    """The examples of a source's split that say something. Raises `DataError` naming file and line."""
    path = data / source.path
    if not path.exists():
        raise DataError(f"{path}: missing; paths of data are looked for below --data.")
    everything = READERS[source.reader](path)
    examples = [example for example in _of_split(everything, source.split) if example.captions or example.label]
    if not examples:
        splits = ", ".join(sorted({example.split for example in everything if example.split})) or "none"
        raise DataError(
            f"{path}: no photo with a caption or a label is in the split {source.split!r}; it has {splits}."
        )
    _check_sentences(path, examples)
    return examples


def captioned(source: DataSource, data: Path) -> list[Example]:
    """The examples of a source's split that have captions. Raises `DataError`, also where there are only labels."""
    examples = [example for example in read_source(source, data) if example.captions]
    if not examples:
        raise DataError(f"{data / source.path}: no photo has a caption, labels alone do not serve here.")
    return examples


def _of_split(examples: Sequence[Example], split: str) -> list[Example]:
    if split == "all":
        return list(examples)
    if any(example.split for example in examples):
        return [example for example in examples if example.split == split]
    train, val = held_out(examples)
    return {"train": train, "val": val}.get(split, [])


def _check_sentences(path: Path, examples: Sequence[Example]) -> None:
    for example in examples:
        if any(not caption.strip() for caption in example.captions):
            raise DataError(f"{example.where}: an empty caption; remove or mend it.")
        if not example.captions and not phrases(example.label):
            raise DataError(f"{example.where}: the label {example.label!r} says nothing that can be seen; rename it.")
    said = {example.label or example.captions for example in examples}
    if len(examples) > 1 and len(said) < 2:
        raise DataError(f"{path}: all photos say the same ({said.pop()!r}); there is nothing to tell apart.")


def check_photos(examples: Sequence[Example], workers: int) -> None:
    """Opens every photo by its header. Raises `DataError` for the first that is none."""
    with ThreadPoolExecutor(workers) as threads:
        for example, reason in zip(examples, threads.map(_unreadable, examples), strict=True):
            if reason:
                raise DataError(f"{example.where}: the photo cannot be read ({reason}); mend or remove it.")


def _unreadable(example: Example) -> str:
    try:
        # Of a file only the header: a folder of camera photos is not read twice.
        with example.image() if isinstance(example.photo, bytes) else Image.open(example.photo, formats=ALL_FORMATS):
            return ""
    except OSError as error:
        return error.strerror or "it is no photo"


class Photos:
    """The photos of examples as squares, decoded on threads and kept while there is room."""

    def __init__(self, examples: Sequence[Example], recipe: Preprocessing, *, workers: int, megabytes: int) -> None:
        self._examples, self._recipe = examples, recipe
        self._threads = ThreadPoolExecutor(workers)
        self._room = megabytes * 1_000_000 // (3 * recipe.size**2)
        self._kept: dict[int, UInt8Array] = {}

    def __len__(self) -> int:
        return len(self._examples)

    def __call__(self, rows: Sequence[int]) -> list[UInt8Array]:
        """Squares `[3, size, size]` of the photos in these rows. Raises `DataError` for what cannot be decoded."""
        return list(self._threads.map(self._square, rows))

    def _square(self, row: int) -> UInt8Array:
        if (known := self._kept.get(row)) is not None:
            return known
        square = prepared(self._examples[row], self._recipe.prepare)
        if len(self._kept) < self._room:
            self._kept[row] = square
        return square


def prepared(example: Example, prepare: Callable[[Image.Image], npt.NDArray[Any]]) -> npt.NDArray[Any]:
    """A photo as a tower or recipe prepares it. Raises `DataError` naming the line it stands in."""
    try:
        photo = example.photo
        return prepare(example.image() if isinstance(photo, bytes) else open_photo(photo))
    except (SourceError, OSError) as error:
        raise DataError(f"{example.where}: the photo cannot be read ({error}); mend or remove it.") from error


@dataclass(frozen=True, slots=True)
class Batch:
    """What a step sees: rows of photos, sentences and the position in `rows` of the photo of each, `owners` `[m]`.

    `ignored` `[m, n]` is true where a sentence fits a photo by chance: of the same class, or of the same words.
    """

    rows: list[int]
    sentences: list[str]
    owners: Tensor
    ignored: Tensor


class Sampler:
    """Draws: all that is random comes from one generator, whose state can be taken and given back."""

    def __init__(self, seed: int) -> None:
        self.draw = np.random.default_rng(seed)

    def state(self) -> Any:
        """What `restore` takes."""
        return self.draw.bit_generator.state

    def restore(self, state: Any) -> None:
        """Goes on drawing where `state` was taken."""
        self.draw.bit_generator.state = state


class PairSampler(Sampler):
    """Draws batches, every photo once an epoch."""

    def __init__(
        self, examples: Sequence[Example], templates: Sequence[str], *, batch: int, captions: int, seed: int
    ) -> None:
        self._examples, self._templates = examples, templates
        super().__init__(seed)
        self._batch, self._captions = min(batch, len(examples)), captions
        self._order: list[int] = []

    @property
    def steps_an_epoch(self) -> int:
        """Batches an epoch; what is left over of an epoch is left out, another part each time."""
        return len(self._examples) // self._batch

    def batch(self) -> Batch:
        """The next batch."""
        if len(self._order) < self._batch:
            self._order = self.draw.permutation(len(self._examples)).tolist()
        rows, self._order = self._order[: self._batch], self._order[self._batch :]
        said = [self._sentences(self._examples[row]) for row in rows]
        sentences = [sentence for one in said for sentence in one]
        owners = torch.repeat_interleave(torch.arange(len(rows)), torch.tensor([len(one) for one in said]))
        kinds = [self._examples[row].label or row for row in rows]
        return Batch(rows, sentences, owners, fits_by_chance(sentences, owners, kinds))

    def _sentences(self, example: Example) -> list[str]:
        if example.captions:
            count = min(self._captions, len(example.captions))
            chosen = self.draw.choice(len(example.captions), count, replace=False)
            return [example.captions[number] for number in chosen.tolist()]
        said = phrases(example.label)
        template = self._templates[int(self.draw.integers(len(self._templates)))]
        return [template.format(said[int(self.draw.integers(len(said)))])]

    def state(self) -> Any:
        """The rest of the epoch, and the generator's state."""
        return list(self._order), super().state()

    def restore(self, state: Any) -> None:
        """Goes on in the middle of an epoch."""
        self._order = list(state[0])
        super().restore(state[1])


def fits_by_chance(sentences: Sequence[str], owners: Tensor, kinds: Sequence[Hashable]) -> Tensor:
    """`[sentences, photos]`, true where the photo is of the owner's kind or has the very same sentence."""

    def numbered(values: Sequence[Hashable]) -> Tensor:
        numbers = {value: number for number, value in enumerate(dict.fromkeys(values))}
        return torch.tensor([numbers[value] for value in values])

    kind, sentence = numbered(kinds), numbered(sentences)
    own = functional.one_hot(owners, len(kinds)).float()  # (sentences, photos)
    same_sentence = (sentence[:, None] == sentence[None, :]).float()
    return (kind[owners][:, None] == kind[None, :]) | (same_sentence @ own > 0)


def remembered(embed: Embed) -> Embed:
    """The same function of sentences, each computed once: for towers that stand still."""
    known: dict[str, Tensor] = {}

    def rows(sentences: Sequence[str]) -> Tensor:
        new = [sentence for sentence in dict.fromkeys(sentences) if sentence not in known]
        if new:
            with torch.no_grad():
                known.update(zip(new, embed(new), strict=True))
        return torch.stack([known[sentence] for sentence in sentences])

    return rows


class Ahead(Generic[T]):
    """Makes what a step needs one step ahead, on a thread; its state is that after what was handed out last.

    Drawing, cropping and lighting 192 photos takes 0.2 s, and up to 2 s while other work runs, of a step of 2 s.
    """

    def __init__(self, sampler: Sampler, make: Callable[[int], T]) -> None:
        self._sampler, self._make = sampler, make
        self._thread = ThreadPoolExecutor(1)
        self._next: tuple[int, Future[tuple[T, Any]]] | None = None
        self._state = sampler.state()

    def __call__(self, step: int) -> T:
        """What step `step` needs; that of the next step is begun."""
        if self._next is None or self._next[0] != step:
            self._begin(step)
        assert self._next is not None
        made, self._state = self._next[1].result()
        self._begin(step + 1)
        return made

    def _begin(self, step: int) -> None:
        self._next = (step, self._thread.submit(lambda: (self._make(step), self._sampler.state())))

    def state(self) -> Any:
        """The sampler's state, whatever is under way."""
        return self._state

    def restore(self, state: Any) -> None:
        """Goes on where `state` was taken; what is under way is thrown away."""
        if self._next is not None:
            self._next[1].result()
            self._next = None
        self._sampler.restore(state)
        self._state = state


def crop(photo: npt.NDArray[np.uint8], size: int, how: Augmentation, draw: np.random.Generator) -> Tensor:
    """A random crop of a photo `[3, side, side]`, perhaps mirrored, as `[3, size, size]` uint8."""
    side = photo.shape[1]
    area = draw.uniform(how.smallest, 1.0)
    ratio = np.exp(draw.uniform(-np.log(how.stretch), np.log(how.stretch)))
    height = min(side, max(8, round(side * np.sqrt(area / ratio))))
    width = min(side, max(8, round(side * np.sqrt(area * ratio))))
    top, left = draw.integers(side - height + 1), draw.integers(side - width + 1)
    pixels = torch.from_numpy(photo[:, top : top + height, left : left + width])[None]
    if draw.random() < how.blur:  # small photos and thumbnails are part of every library
        small = int(size * draw.uniform(0.3, 0.7))
        pixels = functional.interpolate(pixels, (small, small), mode="bilinear", antialias=True)
    square = functional.interpolate(pixels, (size, size), mode="bilinear", antialias=True)[0]
    return square.flip(2) if draw.random() < 0.5 else square


def relight(photos: Tensor, how: Augmentation, draw: np.random.Generator) -> Tensor:
    """Photos `[n, 3, s, s]` uint8 with changed brightness and contrast, a few of them grey."""
    n = len(photos)
    values = photos.float()
    weights = torch.tensor([0.299, 0.587, 0.114])[None, :, None, None]
    grey = torch.from_numpy(draw.random(n) < how.grey)
    values[grey] = (values[grey] * weights).sum(dim=1, keepdim=True)
    gain = torch.from_numpy(draw.uniform(1 - how.light, 1 + how.light, (n, 3, 1, 1))).float()
    # Mostly the same gain for all channels, a little of each channel's own: another white balance.
    gain = 0.75 * gain.mean(dim=1, keepdim=True) + 0.25 * gain
    shift = torch.from_numpy(draw.uniform(-how.light, how.light, (n, 1, 1, 1))).float() * 64
    return ((values - 128) * gain + 128 + shift).clamp_(0, 255).to(torch.uint8)
