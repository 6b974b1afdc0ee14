"""The relevance cut-off, fitted and measured: what it keeps and refuses, and how far probabilities agree with people.

Fitted on words and absent things over Flickr8k's val photos and half of the held-out COCO photos; reported on its test
photos and the other half. Each word is reported by a judge that was fitted on the other half of the words; the one that
is written has seen all of them. Things that are absent are the same in both, the photos are not. Beside it stand the
best flat cut-off, one cosine for all questions, and the best cut of each question, which nobody can know.

Captions leave much unsaid, which counts as wrong where nobody looks. With the fourth encoder, by captions alone and
with the photos that were looked at: F1 of the best flat cut-off .466 and .560, of the best cut of each question .566
and .656.
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
from evaluation.organising import parts, stem
from evaluation.scenes import Scene
from indexer.encoders import Encoder
from indexer.items import Float32Array
from search.organise.vocabulary import RIVALS_EVERY, shipped_words
from search.prompt_templates import embed_texts
from search.query import NORMALLY
from search.relevance import BY_LEAD, PHOTOS, WITNESSES, Cut, Judge, as_plain, either_fits, log_odds

EVEN, ODD = slice(0, None, 2), slice(1, None, 2)

# Questions that fewer photos fit tell little of precision and recall.
ENOUGH = 10

# What the questions about absent things count beside those about words, of which there are three times as many.
ABSENT_WEIGHS = 0.3

# For each strictness what is greatest, F-beta, and the part of the absent things that is refused at least. Of other
# photos about as many are refused (.96 normally).
GOALS = {"loosely": (2.0, 0.80), "normally": (1.0, 0.95), "strictly": (0.5, 0.98)}

# Sizes of the libraries, drawn so often, in which absent things are asked for.
SIZES, DRAWS = (20, 60, 200, 600), 20
CUTS = np.geomspace(0.02, 0.95, 48)

# Words of which so many photos are named tell what lead they need; of 1, 3, 10 and 30 the best, and 3 to 30 alike.
LEARNED_FROM, RIDGE = 8, 10.0

WORST = 10

# The scenes of which each word is reported by a judge that has not seen it.
WORDS = ("words", "words, COCO alone")

Measures = dict[str, float]


@dataclass(frozen=True)
class Bench:
    """Everything that fitting and measuring need, embedded once.

    `vocabulary` are the vectors of the shipped words, `leads` `[dim]` is that of `leads_needed`.
    """

    words: Scene
    absent: Scene
    report: Mapping[str, Scene]
    judgements: Mapping[str, tuple[Scene, Judgements]]
    vocabulary: np.ndarray
    leads: np.ndarray

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
        leads_needed(encoder, scenes.learned_from(encoder, judge, data)),
    )


# fitting


def fit(bench: Bench, questions: slice = slice(None)) -> Judge:
    """The judge of the encoder, by some of the words: the weights of most likelihood, and the cuts by `GOALS`."""
    judge = replace(BY_LEAD, rivals=bench.rivals)
    some = bench.words.some(questions)
    pieces = [
        (features, fits, weight * counts / counts.sum())
        for scene, weight in ((some, 1.0), (bench.absent, ABSENT_WEIGHS))
        for features, fits, counts in _known_pairs(judge, scene, bench.leads)
        if fits.any() or scene is bench.absent
    ]
    features, fits, weights = (np.concatenate(column) for column in zip(*pieces, strict=True))
    *found, kind, offset = logistic_regression(features, fits, weights / weights.mean())
    judge = replace(judge, weights=tuple(found), offset=offset, kinds=tuple((kind * bench.leads).tolist()))
    growth, sure = sureness(judge, bench.absent)
    cuts = {
        name: Cut(best_keeps(judge, some, sure[name], growth, beta), sure[name]) for name, (beta, _) in GOALS.items()
    }
    return replace(judge, cuts=cuts, growth=growth)


def _known_pairs(judge: Judge, scene: Scene, leads: np.ndarray) -> list[tuple[FloatArray, np.ndarray, FloatArray]]:
    """For each question, of the photos of which it is known: features `[h, f]`, whether they fit, their weights.

    The last feature is the lead that the question needs.
    """
    pairs = []
    for needed, scores, fits, weights in zip(scene.asked @ leads, scene.scores, scene.fits, scene.weights, strict=True):
        known = weights > 0
        features = judge.features(scores[known], scene.to_beat[known], scores[known])
        pairs.append((np.column_stack([features, np.full(len(features), needed)]), fits[known], weights[known]))
    return pairs


def leads_needed(encoder: Encoder, photos: scenes.Photos) -> np.ndarray:
    """The direction `[dim]` in which questions lie that need a greater lead, by ridge regression over captions' words.

    A word needs the lead over the last rival at which its F1 is greatest among `photos`, by their captions. Words are
    parts of the shipped ones and none of `things.json`, which are asked about in the measures. F1 with it .540 -> .565
    and .546 -> .577, words and photos held out. Neighbours' scores, relevance feedback, what stands out of
    the library and gradient boosting over all of these bring less than .01.
    """
    asked = {stem(part) for word in scenes.things() for part in parts(word)}
    words = sorted({part for word in shipped_words() for part in parts(word) if stem(part) not in asked})
    place = {word: row for row, word in enumerate(words)}
    counts = np.zeros((len(words), len(photos.examples)), np.int64)
    for column, example in enumerate(photos.examples):
        for caption in example.captions:
            counts[[place[part] for part in set(parts(caption)) if part in place], column] += 1
    common = np.flatnonzero((counts >= scenes.NAMED_BY).sum(axis=1) >= LEARNED_FROM)
    rows = embed_texts(encoder, [words[row] for row in common])
    leads = rows @ photos.rows.T - photos.to_beat[:, -1]  # (words, dim) @ (dim, n) -> (words, n)
    needed = np.array([_best_lead(one, count) for one, count in zip(leads, counts[common], strict=True)])
    around = rows - rows.mean(axis=0)
    curvature = around.T @ around + RIDGE * np.eye(rows.shape[1])
    direction: np.ndarray = np.linalg.solve(curvature, around.T @ (needed - needed.mean()))
    return direction


def _best_lead(leads: Float32Array, counts: np.ndarray) -> float:
    """The lead `[n]` with the greatest F1 where so many captions name the thing."""
    known = (counts == 0) | (counts >= scenes.NAMED_BY)
    order = np.argsort(-leads[known], kind="stable")
    hits = (counts[known] > 0)[order].cumsum()
    return float(leads[known][order][(hits / (np.arange(1, len(hits) + 1) + hits[-1])).argmax()])


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


def sureness(judge: Judge, absent: Scene) -> tuple[float, dict[str, float]]:
    """`Judge.growth`, and `Cut.sure` by strictness: what refuses the parts of `GOALS` in libraries of all `SIZES`.

    The log-odds that refuse a part grow with the logarithm of a library's size; their slope is that of the usual cut.
    """
    there = np.flatnonzero((absent.weights > 0).all(axis=0))
    scores, to_beat = absent.scores[:, there], absent.to_beat[there]
    asked = [judge.asked(row) for row in absent.asked]
    chances = np.stack([one.probabilities(row, to_beat, row) for one, row in zip(asked, scores, strict=True)])
    sizes = [min(size, len(there)) for size in (*SIZES, PHOTOS)]
    draw = np.random.default_rng(0)
    needed = {name: [] for name in GOALS}  # type: dict[str, list[float]]
    for size in sizes:
        some = [draw.choice(len(there), size, replace=False) for _ in range(DRAWS)]
        best = log_odds(np.concatenate([either_fits(chances[:, places]) for places in some]))
        for name, (_, refused) in GOALS.items():
            needed[name].append(float(np.quantile(best, refused)))
    more = np.log(np.array(sizes) / PHOTOS)
    growth = max(0.0, float(np.polyfit(more, needed[NORMALLY], 1)[0])) if np.ptp(more) else 0.0
    middle = {name: float(np.mean(np.array(odds) - growth * more)) for name, odds in needed.items()}
    return growth, {name: float(1 / (1 + np.exp(-odds))) for name, odds in middle.items()}


def best_keeps(judge: Judge, asked: Scene, sure: float, growth: float, beta: float) -> float:
    """The `Cut.keeps` with the greatest mean F-beta over the questions, of those up to `sure`."""
    trial = replace(judge, growth=growth)
    told = _judged(trial, asked)
    rows = [row for row in told if row.right.sum() >= ENOUGH] or [row for row in told if row.right.any()]

    def goal(keeps: float) -> float:
        cut = replace(trial, cuts={NORMALLY: Cut(keeps, sure)})
        return float(np.mean([_f_beta(*row.precision_recall(row.keeps(cut, NORMALLY)), beta) for row in rows]))

    return float(max((keeps for keeps in CUTS if keeps <= sure), key=goal, default=sure))


def _f_beta(precision: float, recall: float, beta: float) -> float:
    both = beta**2 * precision + recall
    return (1 + beta**2) * precision * recall / both if both else 0.0


# measuring


@dataclass(frozen=True)
class _Row:
    """A question to a library of `photos`, and those of which it is known whether they fit: their `scores`,
    probabilities, whether they are `right`, for how many each counts; `witnesses` as `Judge.is_sure` takes them."""

    question: str
    photos: int
    scores: Float32Array
    chances: FloatArray
    right: np.ndarray
    weights: Float32Array
    witnesses: FloatArray

    def keeps(self, judge: Judge, strictness: str) -> np.ndarray:
        """Which the judge keeps, `[h]` truth values."""
        sure = judge.is_sure(self.witnesses, strictness, photos=self.photos)
        return (self.chances >= judge.cuts[strictness].keeps) & sure

    def precision_recall(self, kept: np.ndarray) -> tuple[float, float]:
        hits = float(self.weights[kept & self.right].sum())
        return hits / max(float(self.weights[kept].sum()), 1e-9), hits / float(self.weights[self.right].sum())


def _judged(judge: Judge, scene: Scene) -> list[_Row]:
    rows = []
    columns = (scene.questions, scene.asked, scene.scores, scene.fits, scene.weights)
    for question, asked, scores, fits, weights in zip(*columns, strict=True):
        here = ~np.isnan(scores)
        chances = judge.asked(asked).probabilities(scores[here], scene.to_beat[here], scores[here])
        nearest = chances[np.argsort(-scores[here], kind="stable")[:WITNESSES]]
        known = weights[here] > 0
        told = (column[here][known] for column in (scores, fits, weights))
        scored, right, counts = told
        rows.append(_Row(question, int(here.sum()), scored, chances[known], right, counts, nearest))
    return rows


def measure(judge: Judge, scene: Scene, *, strictness: str = NORMALLY) -> Measures:
    """What the cut keeps and refuses in a scene, in means over its questions.

    Precision, recall and F1 over the questions that something fits; `refused` over those that nothing fits.
    """
    told = [(row, row.keeps(judge, strictness)) for row in _judged(judge, scene)]
    asked = [(row, kept) for row, kept in told if row.right.any()]
    nothing = [not kept.any() for row, kept in told if not row.right.any() and len(row.right)]
    return (_means(asked) if asked else {}) | ({"refused": float(np.mean(nothing))} if nothing else {})


def _means(asked: Sequence[tuple[_Row, np.ndarray]]) -> Measures:
    """Precision, recall and F1 in means over questions with what is kept of each."""
    if not asked:
        return {"questions": 0.0}
    told = [
        (precision, recall, _f_beta(precision, recall, 1.0))
        for row, kept in asked
        for precision, recall in [row.precision_recall(kept)]
    ]
    return {"questions": float(len(asked))} | dict(
        zip(("precision", "recall", "F1"), map(float, np.mean(told, axis=0)), strict=True)
    )


def _flat(rows: Sequence[_Row]) -> Measures:
    """The measures of the best flat cut-off: one cosine for all."""
    if not rows:
        return {"questions": 0.0}
    cuts = np.quantile(np.concatenate([row.scores for row in rows]), 1 - np.geomspace(0.002, 0.4, 40))
    return max((_means([(row, row.scores >= cut) for row in rows]) for cut in cuts), key=lambda one: one["F1"])


def _best_of_each(rows: Sequence[_Row]) -> Measures:
    """The measures where each question is cut where its F1 is greatest."""
    asked = []
    for row in rows:
        order = np.argsort(-row.scores, kind="stable")
        hits = (row.weights * row.right)[order].cumsum()
        best = int((hits / (row.weights[order].cumsum() + hits[-1])).argmax())
        asked.append((row, row.scores >= row.scores[order[best]]))
    return _means(asked)


def correlations(scene: Scene, judgements: Judgements, judge: Judge) -> Measures:
    """Rank correlations of cosines and of probabilities with people's judgements, captions of the photo's own left out.

    Each expert's say counts for itself, as in the captioning literature (CLIPScore, Hessel et al. 2021, tables 1, 2).
    """
    others = ~judgements.own
    row = np.searchsorted(np.unique(judgements.caption), judgements.caption)[others]
    photo, said = judgements.photo[others], judgements.said[others]
    asked = [judge.asked(row) for row in scene.asked]
    told = [one.probabilities(row, scene.to_beat, row) for one, row in zip(asked, scene.scores, strict=True)]
    chances = np.stack(told)
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
    each: list[tuple[_Row, np.ndarray]] = []
    for name in WORDS:
        halves = [(_judged(one, bench.report[name].some(half)), one) for one, half in by_half]
        for strictness in GOALS:
            asked = [
                (row, row.keeps(one, strictness)) for rows, one in halves for row in rows if row.right.sum() >= ENOUGH
            ]
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
    result["constants"] = {"offset": float(judge.offset), "growth": judge.growth} | {
        f"weight {place}": one for place, one in enumerate(judge.weights)
    }
    for strictness, cut in judge.cuts.items():
        result["constants"] |= {f"{strictness}, keeps": cut.keeps, f"{strictness}, sure": cut.sure}
    each.sort(key=lambda one: _means([one])["F1"])
    told = [
        f"{row.question}: precision {precision:.2f}, recall {recall:.2f}, {row.weights[row.right].sum():.0f} photos"
        for row, kept in each
        for precision, recall in [row.precision_recall(kept)]
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
