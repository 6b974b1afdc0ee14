"""The relevance cut-off, fitted and measured: what it keeps and refuses, and how far probabilities agree with people.

Fitted on words and absent things over Flickr8k's val photos and half of the held-out COCO photos; reported on its test
photos and the other half. Each word is reported by a judge that was fitted on the other half of the words; the one that
is written has seen all of them. Things that are absent are the same in both, the photos are not. Beside it stand the
best flat cut-off, one cosine for all questions, and the best cut of each question, which nobody can know.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from evaluation import scenes
from evaluation.judgements import Judgements
from evaluation.metrics import FloatArray, rank_correlation
from evaluation.scenes import FITS, UNKNOWN, Scene
from indexer.encoders import Encoder
from indexer.items import Float32Array
from search.organise.vocabulary import RIVALS_EVERY, shipped_words
from search.prompts import embed_texts
from search.query import NORMALLY
from search.relevance import BY_LEAD, WITNESSES, Cut, Judge, as_plain

EVEN, ODD = slice(0, None, 2), slice(1, None, 2)

# Questions that fewer photos fit tell little of precision and recall.
ENOUGH = 10

# What the questions about absent things count beside those about words, of which there are three times as many.
ABSENT_WEIGHS = 0.3

# For each strictness what is greatest, F-beta, and the part of the absent things that is refused at least. Of other
# photos about as many are refused (.96 normally).
GOALS = {"loosely": (2.0, 0.80), "normally": (1.0, 0.95), "strictly": (0.5, 0.98)}
CUTS = np.geomspace(0.02, 0.95, 48)

WORST = 10

# The scenes of which each word is reported by a judge that has not seen it.
WORDS = ("words", "words, COCO alone")

Measures = dict[str, float]


@dataclass(frozen=True)
class Bench:
    """Everything that fitting and measuring need, embedded once; `words` are the vectors of the shipped vocabulary."""

    words: Scene
    absent: Scene
    report: Mapping[str, Scene]
    judgements: Mapping[str, tuple[Scene, Judgements]]
    vocabulary: np.ndarray

    @property
    def rivals(self) -> np.ndarray:
        """What a question has to beat, unit rows `[r, dim]`."""
        return self.vocabulary[::RIVALS_EVERY]


def bench(encoder: Encoder, data: Path) -> Bench:
    """Embeds what is needed of `data/flickr8k`, `captioned` and `labelled`. Raises `DataError`."""
    vocabulary = embed_texts(encoder, shipped_words())
    judge = replace(BY_LEAD, rivals=vocabulary[::RIVALS_EVERY])
    fit, report = scenes.halves(encoder, judge, data)
    found = scenes.words(encoder, report)
    lacking = scenes.absent(encoder, report)
    coco = np.array([not example.split for example in report.examples])
    shown = {
        "words": found,
        "words, COCO alone": found.among(coco),
        "absent": lacking,
        "taken away": scenes.taken_away(encoder, report),
        "words, 20 photos": scenes.small(found),
        "absent, 20 photos": scenes.small(lacking),
        "nothing but what fits": scenes.only_what_fits(found),
    }
    for name in scenes.LABELLED:
        shown |= dict(scenes.labelled(encoder, judge, data, name))
    return Bench(
        scenes.words(encoder, fit),
        scenes.absent(encoder, fit),
        shown,
        scenes.judged(encoder, report, data),
        vocabulary,
    )


# fitting


def fit(bench: Bench, questions: slice = slice(None)) -> Judge:
    """The judge of the encoder, by some of the words: the weights of most likelihood, and the cuts by `GOALS`."""
    judge = replace(BY_LEAD, rivals=bench.rivals)
    some = bench.words.some(questions)
    pieces = [
        (features, fits, weight / len(fits))
        for scene, weight in ((some, 1.0), (bench.absent, ABSENT_WEIGHS))
        for features, fits in _known_pairs(judge, scene)
        if fits.any() or scene is bench.absent
    ]
    weights = np.concatenate([np.full(len(fits), weight) for _, fits, weight in pieces])
    features, fits = (np.concatenate([piece[column] for piece in pieces]) for column in (0, 1))
    *found, offset = logistic_regression(features, fits, weights / weights.mean())
    judge = replace(judge, weights=tuple(found), offset=offset)
    return replace(judge, cuts={name: best_cut(judge, some, bench.absent, *goal) for name, goal in GOALS.items()})


def _known_pairs(judge: Judge, scene: Scene) -> list[tuple[FloatArray, np.ndarray]]:
    """For each question the features `[h, f]` of the photos of which it is known, and whether they fit `[h]`."""
    known = (scene.fits != UNKNOWN) & ~np.isnan(scene.scores)
    return [
        (judge.features(scores[mask], scene.to_beat[mask], scores[mask]), fits[mask] == FITS)
        for scores, fits, mask in zip(scene.scores, scene.fits, known, strict=True)
    ]


def logistic_regression(features: FloatArray, fits: np.ndarray, weights: FloatArray) -> tuple[float, ...]:
    """The weight of each feature `[n, f]` and the offset of most likelihood, by Newton's method (IRLS).

    `fits` `[n]` is what is to be told, `weights` `[n]` how much each pair counts.
    """
    matrix = np.column_stack([features, np.ones(len(features))])
    solution = np.zeros(matrix.shape[1])
    for _ in range(30):  # converges in about eight
        chances = 1 / (1 + np.exp(-np.clip(matrix @ solution, -50, 50)))
        gradient = matrix.T @ (weights * (fits - chances))
        curvature = (matrix * (weights * chances * (1 - chances))[:, None]).T @ matrix
        curvature[np.diag_indices_from(curvature)] += 1e-6
        solution = solution + np.linalg.solve(curvature, gradient)
    return tuple(float(value) for value in solution)


def best_cut(judge: Judge, asked: Scene, absent: Scene, beta: float, refused: float) -> Cut:
    """The cut with the greatest mean F-beta over the questions, of those that refuse so many absent things."""
    sure = float(np.quantile([max(row.witnesses) for row in _judged(judge, absent)], refused))
    told = _judged(judge, asked)
    rows = [row for row in told if row.right.sum() >= ENOUGH] or [row for row in told if row.right.any()]

    def goal(keeps: float) -> float:
        asked = [row.precision_recall(Cut(keeps, sure)) for row in rows]
        return float(np.mean([_f_beta(precision, recall, beta) for precision, recall in asked]))

    return Cut(float(max((cut for cut in CUTS if cut <= sure), key=goal, default=sure)), sure)


def _f_beta(precision: float, recall: float, beta: float) -> float:
    both = beta**2 * precision + recall
    return (1 + beta**2) * precision * recall / both if both else 0.0


# measuring


@dataclass(frozen=True)
class _Row:
    """A question, the probabilities of the photos of which it is known, whether they are `right`, and `witnesses`."""

    question: str
    scores: Float32Array
    chances: FloatArray
    right: np.ndarray
    witnesses: FloatArray

    def keeps(self, cut: Cut) -> np.ndarray:
        return (self.chances >= cut.keeps) & (max(self.witnesses, default=0.0) >= cut.sure)

    def precision_recall(self, cut: Cut) -> tuple[float, float]:
        kept = self.keeps(cut)
        hits = int((kept & self.right).sum())
        return hits / max(int(kept.sum()), 1), hits / max(int(self.right.sum()), 1)


def _judged(judge: Judge, scene: Scene) -> list[_Row]:
    rows = []
    for question, scores, fits in zip(scene.questions, scene.scores, scene.fits, strict=True):
        here = ~np.isnan(scores)
        chances = judge.probabilities(scores[here], scene.to_beat[here], scores[here])
        nearest = np.argsort(-scores[here], kind="stable")[:WITNESSES]
        known = fits[here] != UNKNOWN
        rows.append(_Row(question, scores[here][known], chances[known], fits[here][known] == FITS, chances[nearest]))
    return rows


def measure(judge: Judge, scene: Scene, *, strictness: str = NORMALLY) -> Measures:
    """What the cut keeps and refuses in a scene, in means over its questions.

    Precision, recall and F1 over the questions that something fits; `refused` over those that nothing fits.
    """
    rows, cut = _judged(judge, scene), judge.cuts[strictness]
    asked = [(row, cut) for row in rows if row.right.any()]
    nothing = [not row.keeps(cut).any() for row in rows if not row.right.any() and len(row.right)]
    return (_means(asked) if asked else {}) | ({"refused": float(np.mean(nothing))} if nothing else {})


def _means(asked: Sequence[tuple[_Row, Cut]]) -> Measures:
    """Precision, recall and F1 in means over questions with the cut of each."""
    if not asked:
        return {"questions": 0.0}
    told = [
        (precision, recall, _f_beta(precision, recall, 1.0))
        for row, cut in asked
        for precision, recall in [row.precision_recall(cut)]
    ]
    return {"questions": float(len(asked))} | dict(
        zip(("precision", "recall", "F1"), map(float, np.mean(told, axis=0)), strict=True)
    )


def _flat(rows: Sequence[_Row]) -> Measures:
    """The measures of the best flat cut-off: one cosine for all."""
    if not rows:
        return {"questions": 0.0}
    cosines = [replace(row, chances=row.scores.astype(np.float64), witnesses=np.ones(1)) for row in rows]
    every = np.concatenate([row.scores for row in rows])
    cuts = [Cut(float(cut), 0.0) for cut in np.quantile(every, 1 - np.geomspace(0.002, 0.4, 40))]
    return max((_means([(row, cut) for row in cosines]) for cut in cuts), key=lambda one: one["F1"])


def _best_of_each(rows: Sequence[_Row]) -> Measures:
    """The measures where each question is cut where its F1 is greatest."""
    asked = []
    for row in rows:
        hits = row.right[np.argsort(-row.scores, kind="stable")].cumsum()
        best = int((hits / (np.arange(1, len(hits) + 1) + hits[-1])).argmax())
        asked.append(
            (
                replace(row, chances=row.scores.astype(np.float64), witnesses=np.ones(1)),
                Cut(float(np.sort(row.scores)[::-1][best]), 0.0),
            )
        )
    return _means(asked)


def correlations(scene: Scene, judgements: Judgements, judge: Judge) -> Measures:
    """Rank correlations of cosines and of probabilities with people's judgements, captions of the photo's own left out.

    Each expert's say counts for itself, as in the captioning literature (CLIPScore, Hessel et al. 2021, tables 1, 2).
    """
    others = ~judgements.own
    row = np.searchsorted(np.unique(judgements.caption), judgements.caption)[others]
    photo, said = judgements.photo[others], judgements.said[others]
    chances = np.stack([judge.probabilities(scores, scene.to_beat, scores) for scores in scene.scores])
    table = {"pairs": float(len(photo))}
    for name, scores in (("cosine", scene.scores), ("probability", chances)):
        one = np.asarray(scores[row, photo], np.float64)
        repeated = np.repeat(one, said.shape[1])
        table |= {f"{name} tau-{variant}": rank_correlation(variant, repeated, said.ravel()) for variant in "bc"}
        table[f"{name} Spearman"] = rank_correlation("Spearman", one, said.mean(axis=1))
    return table


def tables(bench: Bench, judge: Judge, *, folds: bool = True) -> dict[str, Any]:
    """What the cut keeps and refuses, and agreement with people.

    With `folds` each word is reported by a judge that was fitted on the other half of the words, else all by `judge`.
    """
    by_half = [(fit(bench, other) if folds else judge, half) for half, other in ((EVEN, ODD), (ODD, EVEN))]
    result: dict[str, Any] = {}
    each: list[tuple[_Row, Cut]] = []
    for name in WORDS:
        halves = [(_judged(one, bench.report[name].some(half)), one.cuts) for one, half in by_half]
        for strictness in GOALS:
            asked = [(row, cuts[strictness]) for rows, cuts in halves for row in rows if row.right.sum() >= ENOUGH]
            result[f"{name}, {strictness}"] = _means(asked)
            if (name, strictness) == (WORDS[0], NORMALLY):
                each = asked
        rows = [row for some, _ in halves for row in some if row.right.sum() >= ENOUGH]
        result[f"{name}, flat"] = _flat(rows)
        result[f"{name}, best cut of each"] = _best_of_each(rows)
    result |= {name: measure(judge, scene) for name, scene in bench.report.items() if name not in WORDS}
    for who, (scene, judgements) in bench.judgements.items():
        result[who] = measure(judge, scene)
        result[f"agreement with {who}"] = correlations(scene, judgements, judge)
    result["constants"] = {"offset": judge.offset} | {f"weight {place}": one for place, one in enumerate(judge.weights)}
    for strictness, cut in judge.cuts.items():
        result["constants"] |= {f"{strictness}, keeps": cut.keeps, f"{strictness}, sure": cut.sure}
    each.sort(key=lambda one: _means([one])["F1"])
    told = [
        f"{row.question}: precision {precision:.2f}, recall {recall:.2f}, {row.right.sum()} photos"
        for row, cut in each
        for precision, recall in [row.precision_recall(cut)]
    ]
    return result | {"worst words": told[:WORST], "dogs": [line for line in told if line.startswith("dog:")]}


def write(judge: Judge, encoder: Encoder, figures: Mapping[str, Any], path: Path) -> None:
    """Puts the judge and the figures that speak for it into the table of calibrations, in place of an older one."""
    table = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    rounded = {
        scene: {name: round(value, 4) for name, value in one.items()}
        for scene, one in figures.items()
        if isinstance(one, dict)
    }
    table[encoder.checksum] = {"encoder": encoder.name, "judge": as_plain(judge), "figures": rounded}
    new = path.with_name(f"{path.name}.new")
    new.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")
    new.replace(path)
