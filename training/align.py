"""Two encoders of one modality each joined in closed form, by canonical correlations and by ridge regression.

    python -m training align --data DATA --models MODELS --out OUT

No gradient descent: the baseline that a trained encoder has to beat. What is written are encoders of the shipped form,
a linear map on each side, that `--model embedded:OUT/cca` takes. Both methods are functions of the means and
covariances of pairs alone, so that ten regularisations cost one pass over the data.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from evaluation.datasets import DataError, Example
from indexer.encoders.base import unit_rows
from indexer.encoders.embedded_image import Head, ImageModel
from indexer.encoders.weights import map_arrays
from indexer.items import Float32Array, Int64Array
from training.data import captioned
from training.features import ImageStart, read_mobilenet, sentence_vectors, squares, trunk_features
from training.models.embedded import pack, write_encoder
from training.settings import CONFIGS, DataSource, made, read_toml
from training.validation import in_words, mean_recall, recalls, said

CONFIG = CONFIGS / "align.toml"

# Photos in memory at once: 77 MB.
PHOTOS = 512

Rows = npt.NDArray[np.floating]
Float64Array = npt.NDArray[np.float64]


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
class Moments:
    """Means `[p]`, `[q]` and covariances `[p, p]`, `[q, q]`, `[p, q]` of `count` pairs of rows x and y."""

    count: int
    mean_x: Float64Array
    mean_y: Float64Array
    xx: Float64Array
    yy: Float64Array
    xy: Float64Array


@dataclass(frozen=True)
class AffineMap:
    """Rows `[n, in]` less `mean` `[in]`, times `weight` `[in, out]`."""

    mean: Float64Array
    weight: Float64Array

    def __call__(self, rows: Rows) -> Float64Array:
        """Rows `[n, in]` -> `[n, out]`."""
        mapped: Float64Array = (rows - self.mean) @ self.weight
        return mapped


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
    for file in (image / "layers.json", text / "model.safetensors", text / "tokenizer.json"):
        if not file.is_file():
            raise DataError(f"{file}: missing; --models is the folder that the models' folders lie in.")
    start = read_mobilenet(image)
    pairs, validation = (paired(examples, start, text, recipe.size) for examples in (fit, choose))
    of = moments(pairs.photos[pairs.owners], pairs.sentences)
    best: dict[str, Joined] = {}
    for name, one, photos, sentences in _candidates(of, recipe):
        similarity = unit_rows(sentences(validation.sentences)) @ unit_rows(photos(validation.photos)).T
        joined = Joined(photos, sentences, one, recalls(similarity, validation.owners))
        best[name] = max(best.get(name, joined), joined, key=lambda each: mean_recall(each.recalls))
    for name, joined in best.items():
        export(options.out / name, joined, start, text, recipe.size)
        print(f"{name:6} val {in_words(joined.recalls)}  {joined.settings}  -> {options.out / name}")


def paired(examples: Sequence[Example], start: ImageStart, text: Path, size: int) -> Pairs:
    """The features of examples, normalised as the heads normalise them."""
    parts = (examples[begin : begin + PHOTOS] for begin in range(0, len(examples), PHOTOS))
    features = torch.cat([trunk_features(start.weights, start.shape, [squares(part, size)], size) for part in parts])
    captions, owners = said(examples)
    both = features, sentence_vectors(text, captions)
    photos, sentences = (functional.layer_norm(rows.float(), rows.shape[1:]).numpy() for rows in both)
    return Pairs(photos, sentences, owners)


def _candidates(of: Moments, recipe: Recipe) -> Iterator[tuple[str, dict[str, float], AffineMap, AffineMap]]:
    """Method, settings and the maps of photos and sentences that they give."""
    for regularisation in recipe.regularisations:
        for dimension in recipe.dimensions:
            plain = cca(of, dimension=dimension, regularisation=regularisation)
            for power in recipe.powers:
                settings = {"regularisation": regularisation, "dimension": len(plain.correlations), "power": power}
                maps = plain.weighed(power)
                yield "cca", settings, maps.x, maps.y
        yield "ridge", {"regularisation": regularisation}, *ridge(of, regularisation=regularisation)


def export(folder: Path, joined: Joined, start: ImageStart, text: Path, size: int) -> None:
    """Writes an encoder of the shipped form whose heads' hidden layers say nothing, and `measured.json`."""
    dimension = joined.photos.weight.shape[1]
    image = ImageModel(start.shape, hidden=1, dimension=dimension)
    image.trunk.load_state_dict(start.weights)
    sentences = Head(len(joined.sentences.weight), 1, dimension)
    for head, affine in ((image.head, joined.photos), (sentences, joined.sentences)):
        head.out.weight.data.zero_()
        scale = 1 / np.sqrt(np.square(affine.weight).mean())  # no cosine sees it, and float16 holds such numbers well
        head.direct.weight.data.copy_(torch.from_numpy(scale * affine.weight.T))
        head.direct.bias.data.copy_(torch.from_numpy(-scale * affine.mean @ affine.weight))
    arrays = pack(image.state_dict(), sentences.state_dict(), map_arrays(text / "model.safetensors"))
    tokenizer = text / "tokenizer.json"
    write_encoder(folder, arrays, blocks=start.shape, size=size, mode="squash", tokenizer=tokenizer)
    measured = {"settings": joined.settings, "val": joined.recalls}
    (folder / "measured.json").write_text(json.dumps(measured, indent=1) + "\n", encoding="utf-8")


@dataclass(frozen=True)
class Correlated:
    """Maps of x and y into one space whose directions are correlated by `correlations` `[out]`, the highest first."""

    x: AffineMap
    y: AffineMap
    correlations: Float64Array

    def weighed(self, power: float) -> Correlated:
        """The same with each direction weighed by its correlation to a power.

        Cosines then listen to what both sides agree on (Gong et al., 2014, "A Multi-View Embedding Space for Modeling
        Internet Images, Tags, and their Semantics", whose power is 4).
        """
        weights = self.correlations**power
        x, y = (AffineMap(side.mean, side.weight * weights) for side in (self.x, self.y))
        return Correlated(x, y, self.correlations)


def moments(x: Rows, y: Rows, *, weights: Rows | None = None) -> Moments:
    """What the methods need to know of pairs `x` `[n, p]`, `y` `[n, q]`; n is at least 2.

    `weights` `[n]` say how much each pair counts beside the others; None: all alike.
    """
    if len(x) != len(y) or len(x) < 2:
        raise ValueError(f"pairs are needed, at least two, not {len(x)} and {len(y)} rows")
    shares = np.full(len(x), 1 / len(x)) if weights is None else np.asarray(weights, dtype=np.float64) / np.sum(weights)
    mean_x, mean_y = shares @ x, shares @ y
    centred_x, centred_y = x - mean_x, y - mean_y
    weighed_x, weighed_y = shares[:, None] * centred_x, shares[:, None] * centred_y
    xx, yy, xy = weighed_x.T @ centred_x, weighed_y.T @ centred_y, weighed_x.T @ centred_y
    return Moments(len(x), mean_x, mean_y, xx, yy, xy)


def cca(of: Moments, *, dimension: int, regularisation: float) -> Correlated:
    """Regularised canonical correlation analysis (Hotelling, 1936; the ridge is Vinod's, 1976).

    `regularisation` is added to both covariances' diagonals, as a part of their mean: 0 is the classical analysis,
    whose covariances must be regular. Without it mapped rows have covariance one. `dimension` is at most the
    narrower side's.
    """
    white_x, white_y = (_whitening(_ridged(covariance, regularisation)) for covariance in (of.xx, of.yy))
    left, correlations, right = np.linalg.svd(white_x @ of.xy @ white_y, full_matrices=False)
    x, y = white_x @ left[:, :dimension], white_y @ right[:dimension].T
    return Correlated(AffineMap(of.mean_x, x), AffineMap(of.mean_y, y), correlations[:dimension])


def ridge(of: Moments, *, regularisation: float) -> tuple[AffineMap, AffineMap]:
    """Ridge regression of y on x (Hoerl and Kennard, 1970): a map of x that predicts y less its mean, and that of y.

    `regularisation` is added to the diagonal of x's covariance, as a part of its mean.
    """
    weight: Float64Array = np.linalg.solve(_ridged(of.xx, regularisation), of.xy).astype(np.float64)
    return AffineMap(of.mean_x, weight), AffineMap(of.mean_y, np.eye(len(of.mean_y)))


def _ridged(covariance: Float64Array, regularisation: float) -> Float64Array:
    ridged: Float64Array = covariance + regularisation * np.diag(covariance).mean() * np.eye(len(covariance))
    return ridged


def _whitening(covariance: Float64Array) -> Float64Array:
    """The symmetric inverse square root of a covariance `[p, p]`."""
    values, vectors = np.linalg.eigh(covariance)
    whitening: Float64Array = (vectors / np.sqrt(values)) @ vectors.T
    return whitening
