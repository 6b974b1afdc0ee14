"""The relevance cut-off, fitted and measured: how far a score agrees with people, and what a cut keeps and refuses.

Fitting and reporting are kept apart: people judged Flickr8k's test photos, of which the even ones fit and the odd ones
report; of the written queries the even ones with val photos fit and the odd ones with test photos report; of the
labelled sets two choose the cut and three report it. Every figure stands beside that of a flat cut-off, one cosine for
all queries, chosen by the same rule from the same data.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from evaluation.agreement import Numbers, kendall_tau_b, kendall_tau_c, spearman
from evaluation.judgements import Judgements
from evaluation.scenes import (
    FITS,
    LABELLED,
    UNKNOWN,
    Captioned,
    Scene,
    absent,
    captioned,
    judged,
    labelled,
    only_what_fits,
    present,
    queries,
    small,
)
from indexer.atomic import atomic_write
from indexer.encoders import Encoder
from search.relevance import Background, Judge, Usual

EVEN, ODD = slice(0, None, 2), slice(1, None, 2)

# Cosines tell nothing else: a flat cut-off in the form of a judge whose probability is the cosine's.
FLAT = Judge(cosine=1.0, standardised=0.0, offset=0.0)

CUTS = 200

Measures = dict[str, float]


@dataclass(frozen=True)
class Bench:
    """Everything that fitting and measuring need, embedded once. `usual` is the background of queries in general."""

    fit: Sequence[Scene]
    report: Sequence[Scene]
    judgements: Mapping[str, tuple[Scene, Judgements]]
    usual: Usual


def bench(encoder: Encoder, data: Path) -> Bench:
    """Embeds what is needed of `data/flickr8k` and `data/labelled`. Raises `DataError` where something is missing."""
    val, test = (captioned(encoder, data, split) for split in ("val", "test"))
    people = judged(data, test)
    even = np.arange(len(test.photos)) % 2 == 0
    found = present(encoder, test, queries("present", ODD))
    lacking = absent(encoder, test, queries("absent", ODD))
    fit = [
        *(scene.judged(even) for scene, _ in people.values()),
        present(encoder, val, queries("present", EVEN)),
        absent(encoder, val, queries("absent", EVEN)),
        *(scene for name in LABELLED["fit"] for scene in labelled(encoder, data, name)),
    ]
    report = [
        *(scene.judged(~even) for scene, _ in people.values()),
        found,
        lacking,
        *(scene for name in LABELLED["report"] for scene in labelled(encoder, data, name)),
        small(found, "present, 20 photos"),
        small(lacking, "absent, 20 photos"),
        only_what_fits(found, "nothing but what fits"),
    ]
    asked = [scene for scene in report if len(scene.scores)]  # a small set may have nothing of which it has enough
    return Bench(fit, asked, people, _usual(encoder, val))


def _usual(encoder: Encoder, library: Captioned) -> Usual:
    """The background of captions and of short queries over the library's photos."""
    short = encoder.embed("text", [*queries("present", EVEN), *queries("absent", EVEN)])
    rows = np.concatenate([library.captions[:: len(library.captions) // len(short)], short]) @ library.photos.T
    seen = [Background.of(row) for row in rows]
    middles = np.array([one.middle for one in seen])
    return Usual(float(middles.mean()), float(np.mean([one.spread for one in seen])), float(middles.std()))


# fitting


def fit(bench: Bench) -> Judge:
    """The judge of the encoder: weights from people's judgements, the cut by all fitting scenes."""
    judge = Judge(usual=bench.usual)
    people = [scene for scene in bench.fit if scene.name in bench.judgements]
    pairs = [_pairs(judge, scene) for scene in people]
    weights = np.concatenate([np.full(len(pair.fits), 1 / len(pair.fits)) for pair in pairs])  # experts like the crowd
    features, fits = (np.concatenate([getattr(pair, name) for pair in pairs]) for name in ("features", "fits"))
    cosine, standardised, offset = logistic_regression(features, fits, weights)
    judge = replace(judge, cosine=cosine, standardised=standardised, offset=offset)
    return replace(judge, cut=best_cut(judge, bench.fit))


def fit_flat(bench: Bench) -> Judge:
    """The best flat cut-off by the same rule."""
    return replace(FLAT, cut=best_cut(FLAT, bench.fit))


def logistic_regression(features: Numbers, fits: np.ndarray, weights: Numbers) -> tuple[float, ...]:
    """The weight of each feature `[n, f]` and the offset of most likelihood, by Newton's method (IRLS).

    `fits` `[n]` is what is to be told, `weights` `[n]` how much each pair counts.
    """
    matrix = np.column_stack([features, np.ones(len(features))])
    solution = np.zeros(matrix.shape[1])
    for _ in range(30):  # converges in about eight
        chances = 1 / (1 + np.exp(-matrix @ solution))
        gradient = matrix.T @ (weights * (fits - chances))
        curvature = (matrix * (weights * chances * (1 - chances))[:, None]).T @ matrix
        solution = solution + np.linalg.solve(curvature, gradient)
    return tuple(float(value) for value in solution)


def best_cut(judge: Judge, scenes: Sequence[Scene]) -> float:
    """The cut with the greatest mean, over the scenes, of what a scene can tell: F1, answered, refused."""
    pairs = [_pairs(judge, scene) for scene in scenes]
    chances = np.concatenate([pair.chances for pair in pairs])
    cuts = np.unique(np.quantile(chances, 1 - np.geomspace(1e-4, 0.5, CUTS)))
    return float(max(cuts, key=lambda cut: _goal([_measures(pair, cut) for pair in pairs])))


def _goal(measured: Sequence[Measures]) -> float:
    told = [value for one in measured for name, value in one.items() if name in ("F1", "answered", "refused")]
    return float(np.mean(told))


# measuring


@dataclass(frozen=True)
class _Pairs:
    """The pairs of a scene of which it is known: the query, features and chance of each, and whether it fits.

    `whole` says that it is known of all.
    """

    query: np.ndarray
    features: Numbers
    chances: Numbers
    fits: np.ndarray
    whole: bool


def _pairs(judge: Judge, scene: Scene) -> _Pairs:
    here = ~np.isnan(scene.scores)
    libraries = [row[mask] for row, mask in zip(scene.scores, here, strict=True)]
    features = np.concatenate([judge.features(scores, scores) for scores in libraries])
    known = scene.fits[here] != UNKNOWN
    features = features[known]
    return _Pairs(
        query=np.nonzero(here)[0][known],
        features=features,
        chances=judge.of_features(features),
        fits=scene.fits[here][known] == FITS,
        whole=bool(known.all()),
    )


def _measures(pairs: _Pairs, cut: float) -> Measures:
    kept, fits = pairs.chances >= cut, pairs.fits
    asked, has, gets = (np.bincount(pairs.query, told) > 0 for told in (np.ones(len(fits)), fits, kept))
    table: Measures = {}
    if fits.any():
        right = int((kept & fits).sum())
        table["precision"] = right / max(int(kept.sum()), 1)
        table["recall"] = right / int(fits.sum())
        table["F1"] = 2 * right / (int(kept.sum()) + int(fits.sum()))
        table["answered"] = float(gets[has].mean())
    if pairs.whole and (asked & ~has).any():
        table["refused"] = float(1 - gets[asked & ~has].mean())
    return table


def measure(judge: Judge, scene: Scene) -> Measures:
    """What the cut keeps and refuses in a scene.

    Of the pairs of which it is known: precision, recall and F1 of what is kept. Of the queries: `answered`, the part
    of those with something that fits that get a hit at all, and, where everything is known, `refused`, the part of
    those with nothing that fits that are told so.
    """
    return _measures(_pairs(judge, scene), judge.cut)


def correlations(scene: Scene, judgements: Judgements, judge: Judge) -> Measures:
    """Rank correlations of cosines and of probabilities with people's judgements, captions of the photo's own left out.

    Each expert's say counts for itself, as in the captioning literature (CLIPScore, Hessel et al. 2021, tables 1, 2).
    """
    others = ~judgements.own
    row = np.searchsorted(np.unique(judgements.caption), judgements.caption)[others]
    photo, said = judgements.photo[others], judgements.said[others]
    chances = np.stack([judge.probabilities(scores, scores) for scores in scene.scores])
    table = {"pairs": float(len(photo))}
    for name, scores in (("cosine", scene.scores), ("probability", chances)):
        one = np.asarray(scores[row, photo], np.float64)
        repeated = np.repeat(one, said.shape[1])
        table[f"{name} tau-b"] = kendall_tau_b(repeated, said.ravel())
        table[f"{name} tau-c"] = kendall_tau_c(repeated, said.ravel())
        table[f"{name} Spearman"] = spearman(one, said.mean(axis=1))
    return table


def tables(bench: Bench, judge: Judge) -> dict[str, Measures]:
    """Agreement with people, and each reporting scene by the judge's cut and by the best flat one."""
    flat = fit_flat(bench)
    result = {f"agreement with {who}": correlations(*bench.judgements[who], judge) for who in bench.judgements}
    for scene in bench.report:
        by = {"per query": measure(judge, scene), "flat": measure(flat, scene)}
        result[scene.name] = {f"{name}, {how}": one[name] for name in by["flat"] for how, one in by.items()}
    return result | {"constants": constants(judge) | {"flat cut, a cosine": float(np.log(flat.cut / (1 - flat.cut)))}}


def constants(judge: Judge) -> Measures:
    """The judge's numbers in a row."""
    plain = asdict(judge)
    usual = plain.pop("usual") or {}
    return plain | {f"usual {name}": value for name, value in usual.items()}


def write(judge: Judge, encoder: Encoder, figures: Mapping[str, Measures], path: Path) -> None:
    """Puts the judge and the figures that speak for it into the table of calibrations, in place of an older one."""
    table = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    rounded = {scene: {name: round(value, 4) for name, value in one.items()} for scene, one in figures.items()}
    table[encoder.checksum] = {"encoder": encoder.name, "judge": asdict(judge), "figures": rounded}
    with atomic_write(path) as new:
        new.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")
