"""Join an image trunk and a sentence transformer, neither trained for the other, in closed form: CCA and ridge.

    python -m training align --data DATA --models MODELS --out OUT

No gradient descent: the coordinated-representation baseline that a trained encoder has to beat. What is written are
encoders of the shipped form, a linear map on each side, that `--model embedded:OUT/cca` takes.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from evaluation.datasets import DataError, Example
from indexer.encoders.base import unit_rows
from indexer.encoders.embedded_image import Head, ImageModel
from indexer.encoders.weights import map_arrays
from indexer.items import Float32Array, Int64Array
from training.closed_form import AffineMap, Moments, cca, moments, ridge
from training.export import pack, write_encoder
from training.features import sentence_vectors, squares, trunk_features
from training.pairs import captioned
from training.recalls import in_words, mean_recall, recalls
from training.settings import CONFIGS, DataSource, made, read_toml
from training.starting_points import ImageStart, read_mobilenet

CONFIG = CONFIGS / "align.toml"

# Photos in memory at once: 77 MB.
PHOTOS = 512


@dataclass(frozen=True)
class Recipe:
    """What is joined, on what, and which settings are tried; see `configs/align.toml`."""

    image: str
    text: str
    size: int
    regularisations: tuple[float, ...]
    dimensions: tuple[int, ...]
    powers: tuple[float, ...]
    train: DataSource
    validation: DataSource


@dataclass(frozen=True)
class Pairs:
    """Features of photos `[n, p]` and of sentences `[m, q]`, normalised, and the photo of each sentence `[m]`."""

    photos: Float32Array
    sentences: Float32Array
    owners: Int64Array


@dataclass(frozen=True)
class Joined:
    """Both sides mapped into one space, by which settings, and the recalls on validation photos that chose them."""

    photos: AffineMap
    sentences: AffineMap
    settings: dict[str, float]
    recalls: dict[str, float]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `python -m training align`."""
    parser.add_argument("--config", type=Path, default=CONFIG, help="other settings than those of align.toml")
    parser.add_argument("--data", type=Path, required=True, help="the folder that paths of data start from")
    parser.add_argument("--models", type=Path, required=True, help="the folder with the encoders to join")
    parser.add_argument("--out", type=Path, required=True, help="the encoders are written to OUT/cca and OUT/ridge")


def run(options: argparse.Namespace) -> None:
    """Fits, chooses and writes both. Raises `DataError` for what is wrong with the request or the data."""
    recipe = made(Recipe, read_toml(options.config), options.config)
    fit, choose = (captioned(source, options.data) for source in (recipe.train, recipe.validation))
    image, text = options.models / recipe.image, options.models / recipe.text
    _check_models(image, text)
    start = read_mobilenet(image)
    pairs, validation = (paired(examples, start, text, recipe.size) for examples in (fit, choose))
    of = moments(pairs.photos[pairs.owners], pairs.sentences)
    for name, candidates in (("cca", all_cca(of, recipe)), ("ridge", all_ridge(of, recipe))):
        best = chosen(candidates, validation)
        export(options.out / name, best, start, text, recipe.size)
        print(f"{name:6} val {in_words(best.recalls)}  {best.settings}  -> {options.out / name}")


def _check_models(image: Path, text: Path) -> None:
    """Raises `DataError` where a model's folder lacks its files."""
    for file in (image / "layers.json", text / "model.safetensors", text / "tokenizer.json"):
        if not file.is_file():
            raise DataError(f"{file}: missing; --models is the folder that the models' folders lie in.")


def paired(examples: Sequence[Example], start: ImageStart, text: Path, size: int) -> Pairs:
    """The features of examples, normalised as the heads normalise them."""
    parts = (examples[begin : begin + PHOTOS] for begin in range(0, len(examples), PHOTOS))
    features = torch.cat([trunk_features(start.weights, start.shape, [squares(part, size)], size) for part in parts])
    owners = np.repeat(np.arange(len(examples)), [len(example.captions) for example in examples])
    vectors = sentence_vectors(text, [caption for example in examples for caption in example.captions])
    photos, sentences = (functional.layer_norm(rows.float(), rows.shape[1:]).numpy() for rows in (features, vectors))
    return Pairs(photos, sentences, owners)


Candidate = tuple[dict[str, float], AffineMap, AffineMap]


def all_cca(of: Moments, recipe: Recipe) -> Iterator[Candidate]:
    """Settings of the canonical correlation analysis and the maps of photos and sentences that they give."""
    for regularisation in recipe.regularisations:
        for dimension in recipe.dimensions:
            plain = cca(of, dimension=dimension, regularisation=regularisation)
            for power in recipe.powers:
                settings = {"regularisation": regularisation, "dimension": len(plain.correlations), "power": power}
                maps = plain.weighed(power)
                yield settings, maps.x, maps.y


def all_ridge(of: Moments, recipe: Recipe) -> Iterator[Candidate]:
    """Settings of the regression of sentences on photos and the maps that they give."""
    for regularisation in recipe.regularisations:
        yield {"regularisation": regularisation}, *ridge(of, regularisation=regularisation)


def chosen(candidates: Iterator[Candidate], validation: Pairs) -> Joined:
    """The candidate whose mean recall on validation photos is highest."""
    measured = (
        Joined(photos, sentences, settings, _recalls(photos, sentences, validation))
        for settings, photos, sentences in candidates
    )
    return max(measured, key=lambda joined: mean_recall(joined.recalls))


def _recalls(photos: AffineMap, sentences: AffineMap, validation: Pairs) -> dict[str, float]:
    rows = unit_rows(sentences(validation.sentences)) @ unit_rows(photos(validation.photos)).T
    return recalls(rows, validation.owners)


def export(folder: Path, joined: Joined, start: ImageStart, text: Path, size: int) -> None:
    """Writes an encoder of the shipped form of which only the direct paths are in use, and `measured.json`.

    Heads whose hidden layers say nothing are what a linear map is.
    """
    dimension = joined.photos.weight.shape[1]
    image = ImageModel(start.shape, hidden=1, dimension=dimension)
    image.trunk.load_state_dict(start.weights)
    sentences = Head(len(joined.sentences.weight), 1, dimension)
    for head, affine in ((image.head, joined.photos), (sentences, joined.sentences)):
        head.out.weight.data.zero_()
        _set(head, affine)
    arrays = pack(image.state_dict(), sentences.state_dict(), map_arrays(text / "model.safetensors"))
    tokenizer = text / "tokenizer.json"
    write_encoder(folder, arrays, blocks=start.shape, size=size, mode="squash", tokenizer=tokenizer)
    measured = {"settings": joined.settings, "val": joined.recalls}
    (folder / "measured.json").write_text(json.dumps(measured, indent=1) + "\n", encoding="utf-8")


def _set(head: Head, affine: AffineMap) -> None:
    """Fills a head's direct path; scaled, which no cosine sees, so that float16 holds it well."""
    scale = 1 / np.sqrt(np.square(affine.weight).mean())
    head.direct.weight.data.copy_(torch.from_numpy(scale * affine.weight.T))
    head.direct.bias.data.copy_(torch.from_numpy(-scale * affine.mean @ affine.weight))
