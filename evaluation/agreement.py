"""How well scores agree with people's judgements: rank correlations as pure functions.

Judgements have few levels and many ties, for which the field uses Kendall's tau-b and tau-c. Written here and not
taken from scipy, which would be a large dependency for three formulas; the tests compare with scipy's.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.float64]


def kendall_tau_b(scores: Numbers, judgements: Numbers) -> float:
    """Kendall's tau-b, `[n]` against `[n]`: pairs that both order, less those they order oppositely, ties corrected.

    (Kendall, 1945.) 0 where one of the two says nothing.

    >>> kendall_tau_b(np.array([0.1, 0.4, 0.3]), np.array([1.0, 2.0, 3.0]))
    0.3333333333333333
    """
    pairs = len(scores) * (len(scores) - 1) / 2
    ordered = np.sqrt((pairs - _tied_pairs(scores)) * (pairs - _tied_pairs(judgements)))
    return float(_concordance(scores, judgements) / ordered) if ordered else 0.0


def kendall_tau_c(scores: Numbers, judgements: Numbers) -> float:
    """Kendall's tau-c, for a judgement with fewer levels than the score (Stuart, 1953); what captioning reports."""
    levels = min(len(np.unique(scores)), len(np.unique(judgements)))
    if levels < 2:
        return 0.0
    return 2 * _concordance(scores, judgements) / (len(scores) ** 2 * (levels - 1) / levels)


def spearman(scores: Numbers, judgements: Numbers) -> float:
    """Spearman's rho: the correlation of the ranks, ties having the mean of theirs; 0 where one says nothing."""
    one, other = _mean_ranks(scores), _mean_ranks(judgements)
    if not one.std() or not other.std():
        return 0.0
    return float(np.corrcoef(one, other)[0, 1])


def _concordance(scores: Numbers, judgements: Numbers) -> float:
    """Concordant pairs less discordant ones: a sort for each level of judgement instead of all pairs."""
    difference = 0
    for level in np.unique(judgements)[1:]:
        below = np.sort(scores[judgements < level])
        here = scores[judgements == level]
        difference += int(np.searchsorted(below, here, "left").sum())  # lower in both
        difference -= int((len(below) - np.searchsorted(below, here, "right")).sum())
    return float(difference)


def _tied_pairs(values: Numbers) -> float:
    counts = np.unique(values, return_counts=True)[1].astype(np.float64)
    return float((counts * (counts - 1) / 2).sum())


def _mean_ranks(values: Numbers) -> Numbers:
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = counts.cumsum()
    ranks: Numbers = (last - (counts - 1) / 2)[place]
    return ranks
