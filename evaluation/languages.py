"""Questions in eight languages beside English: the photo that each means, found without and with the extra `languages`.

`questions.tsv` holds captions of Flickr8k's validation photos, one a photo, and their translations, written for this by
hand. `--set flickr8k` has the photos; those that no question means are looked among too. The few constants of the maps
were chosen on these; nothing was on the 36 of `questions_unseen.tsv`, of other photos: `--questions` takes them.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from evaluation.datasets import DataError, Example, embed_photos
from evaluation.metrics import first_rank_by_similarity, recall_at
from indexer.encoders import Encoder
from indexer.items import Float32Array
from search.languages import embed_questions, is_foreign, is_here
from search.organise.vocabulary import RIVALS_EVERY, shipped_words
from search.prompt_templates import embed_texts
from search.query import NORMALLY
from search.relevance import judge_for

QUESTIONS = Path(__file__).with_name("questions.tsv")

# The column that names a question's photo; the others are languages, the original first.
PHOTO = "photo"


def read_questions(path: Path) -> list[dict[str, str]]:
    """The questions, by language, and under "photo" the name of the file that each means."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))


def languages(encoder: Encoder, examples: Sequence[Example], table: Path = QUESTIONS) -> dict[str, Any]:
    """Recall of the photo that is meant, by language; and how often it passes the cut of `--relevant`.

    "told" is the part of the questions that are told not to be English, "kept" that whose photo fits. Raises
    `DataError` where the photos or the extra are missing.
    """
    if not is_here():
        raise DataError("The extra is not installed: pip install 'descry[languages]'.")
    questions = read_questions(table)
    places = {example.photo.name: place for place, example in enumerate(examples) if isinstance(example.photo, Path)}
    if missing := [row[PHOTO] for row in questions if row[PHOTO] not in places]:
        raise DataError(f"{len(missing)} photos of {table.name} are not in the set, {missing[0]} among them.")
    meant = np.array([places[row[PHOTO]] for row in questions])
    photos = embed_photos(encoder, examples)
    judge = judge_for(encoder.checksum, embed_texts(encoder, shipped_words()[::RIVALS_EVERY]))
    to_beat = judge.to_beat(photos)

    def measured(rows: Float32Array) -> dict[str, float]:
        similarity = rows @ photos.T  # (q, dim) @ (dim, n) -> (q, n)
        ranks = first_rank_by_similarity(similarity, meant[:, None] == np.arange(len(photos)))
        fits = np.array([judge.probabilities(scores, to_beat, scores) for scores in similarity])
        keeps = fits >= judge.cuts[NORMALLY].keeps
        own = float(keeps[np.arange(len(meant)), meant].mean())
        return {**{f"R@{k}": recall_at(ranks, k) for k in (1, 5, 10)}, "kept": own, "fit": float(keeps.sum(1).mean())}

    figures: dict[str, Any] = {"photos": len(photos), "questions": len(questions)}
    for name in [name for name in questions[0] if name != PHOTO]:
        asked = [row[name] for row in questions]
        without, own = (measured(embed(encoder, asked)) for embed in (embed_texts, embed_questions))
        told = sum(map(partial(is_foreign, encoder), asked)) / len(asked)
        figures[name] = {"without": without, "with": own, "told": told}
    return figures
