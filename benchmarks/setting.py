"""What measurements have in common: what is measured, how large, and where what they need is made once."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xxhash
from PIL import Image

from benchmarks.synthetic import Source, named_only, of_library, write_library
from evaluation.datasets import DataError
from indexer.encoders import Encoder
from indexer.encoders.open_clip_source import quiet
from indexer.library import Library

# The model that everybody knows, with weights by chance: what it takes does not depend on them.
REFERENCE = "ViT-B-32"
SEED = 0

# What a library's indexes are tuned to.
RECALL = 0.98

# The length of synthetic vectors: ViT-B/32's.
DIMENSION = 512

QUALITY = 90

# The sides of an image in a mosaic: photos keep the detail of their pixels, however large the mosaic.
TILE = (640, 480)


@dataclass(frozen=True, slots=True)
class Setting:
    """What is measured: an encoder, on libraries of some sizes and photos made of `photos`; all is made in `folder`.

    `reference` is an open_clip model's name beside the encoder; without one, the encoder is alone. `like` is a library:
    what is searched is then made of its photos' vectors, and its sentences ask; without one, it is synthetic.
    """

    encoder: Encoder
    photos: Path
    sizes: tuple[int, ...]
    folder: Path
    device: str = "auto"
    reference: str = REFERENCE
    like: Path | None = None

    def library(self, encoder: Encoder, count: int, source: Source | None = None) -> Path:
        """A library of that many photos of a source, or synthetic ones, for an encoder, indexed and optimized."""
        scheme = encoder.name.split(":")[0]  # with the weights' checksum: other weights need another library
        name = f"library-{scheme}-{encoder.checksum[:8]}-{encoder.dimension}-{count}"
        return self._once(name, lambda place: make_library(place, encoder, count, source))

    def searched(self, count: int) -> Path:
        """The library of that many photos whose index is measured; its questions are vectors, nothing is embedded."""
        if self.like is None:
            return self.library(named_only(DIMENSION), count)
        source = of_library(self.like)
        checksum = xxhash.xxh3_64_hexdigest(source.photos.data)
        return self.library(named_only(source.photos.shape[1], checksum), count, source)

    def label(self, library: Library, count: int) -> str:
        """What is searched, for a table: "1M x 512"."""
        return f"{short(count)} x {library.dimension}" + (f" like {self.like.name}" if self.like else "")

    def names(self) -> Iterator[tuple[str, str, bool]]:
        """What to call the encoders in a table, their names, and whether it is the reference."""
        yield self.encoder.name, self.encoder.name, False
        if self.reference:
            yield self.reference, self.checkpoint(), True

    def checkpoint(self) -> str:
        """The name of an encoder of the reference's form, with weights by chance."""
        path = self._once(f"{self.reference}.safetensors", self._random_weights)
        return f"open_clip:{self.reference}/{path}"

    def _random_weights(self, place: Path) -> None:
        import open_clip
        import torch
        from safetensors.torch import save_file

        torch.manual_seed(SEED)
        with quiet():
            model = open_clip.create_model(self.reference)
        save_file({name: weight.contiguous() for name, weight in model.state_dict().items()}, place)

    def jpegs(self, width: int, height: int, count: int) -> Path:
        """A folder of that many different JPEGs of a size, mosaics of the given photos."""
        return self._once(f"photos-{width}x{height}-{count}", lambda place: self._draw(place, width, height, count))

    def _draw(self, place: Path, width: int, height: int, count: int) -> None:
        place.mkdir()
        paths = sorted(self.photos.glob("*.jpg"))
        if not paths:
            raise DataError(f"{self.photos} holds no .jpg to make photos of; --photos names a folder that does.")
        tiles = [Image.open(path).convert("RGB").resize(TILE) for path in paths]
        chance = np.random.default_rng(SEED)
        for number in range(count):
            mosaic(tiles, width, height, chance).save(place / f"{number:05}.jpg", quality=QUALITY)

    def _once(self, name: str, make: Callable[[Path], None]) -> Path:
        """What is called so in the folder; made beside it first, so that what is there is whole."""
        self.folder.mkdir(parents=True, exist_ok=True)
        place, part = self.folder / name, self.folder / f"part-{name}"
        if not place.exists():
            if part.is_dir():
                shutil.rmtree(part)
            make(part)
            part.rename(place)
        return place


def make_library(place: Path, encoder: Encoder, count: int, source: Source | None = None) -> None:
    """Writes a library and tunes the index of its photos with its own sentences, as `descry optimize` does."""
    write_library(place, count, encoder, source)
    with Library.open(place, readonly=False) as library:
        (sentences,) = library.catalog.vectors_since("text", -1)
        library.indexes.optimize("image", sentences.rows, recall=RECALL)
        with library.lock():
            library.indexes.save()


def mosaic(tiles: list[Image.Image], width: int, height: int, chance: np.random.Generator) -> Image.Image:
    """A image of tiles drawn by chance, each shifted by chance: no two are alike."""
    image = Image.new("RGB", (width, height))
    across, down = chance.integers(TILE[0]), chance.integers(TILE[1])
    for left in range(-int(across), width, TILE[0]):
        for top in range(-int(down), height, TILE[1]):
            image.paste(tiles[chance.integers(len(tiles))], (left, top))
    return image


def sizes_of(words: list[str]) -> tuple[int, ...]:
    """Sizes as people write them. Raises `DataError`.

    >>> sizes_of(["10k", "1m", "2500"])
    (10000, 1000000, 2500)
    """
    sizes = []
    for word in words:
        number, unit = (word[:-1], word[-1].lower()) if word[-1:].isalpha() else (word, "")
        if not number.isdigit() or unit not in UNITS or not int(number):
            raise DataError(f"--sizes {word}: write a number of photos, such as 10k, 1m or 2500.")
        sizes.append(int(number) * UNITS[unit])
    return tuple(sizes)


UNITS = {"": 1, "k": 1_000, "m": 1_000_000}


def short(count: int) -> str:
    """A size as people write it.

    >>> short(10_000), short(1_000_000), short(2500)
    ('10k', '1M', '2500')
    """
    for unit, letter in ((1_000_000, "M"), (1_000, "k")):
        if count % unit == 0:
            return f"{count // unit}{letter}"
    return str(count)
