"""The pure measures against numbers worked out by hand and against scikit-learn."""

import numpy as np
import pytest
from sklearn import metrics as slow

from evaluation import metrics

# Three queries over four columns; the relevant columns are 0, {1, 3} and 2.
SIMILARITY = np.array([[0.9, 0.1, 0.2, 0.3], [0.8, 0.7, 0.1, 0.2], [0.5, 0.6, 0.4, 0.7]], np.float32)
RELEVANT = np.array([[1, 0, 0, 0], [0, 1, 0, 1], [0, 0, 1, 0]], bool)


def test_the_rank_is_that_of_the_best_relevant_column():
    assert metrics.first_rank_by_similarity(SIMILARITY, RELEVANT).tolist() == [1, 2, 4]


def test_a_model_that_scores_everything_alike_ranks_in_the_middle_not_first():
    relevant = np.zeros((1, 101), bool)
    relevant[0, 0] = True
    assert metrics.first_rank_by_similarity(np.zeros((1, 101), np.float32), relevant).tolist() == [51]


def test_distances_given_for_similarities_turn_a_perfect_ranking_into_the_worst():
    perfect = np.eye(5, dtype=np.float32)
    assert metrics.first_rank_by_similarity(perfect, np.eye(5, dtype=bool)).max() == 1
    assert metrics.first_rank_by_similarity(1 - perfect, np.eye(5, dtype=bool)).min() == 5


def test_recall_and_reciprocal_rank_by_hand():
    ranks = np.array([1, 2, 4])
    assert metrics.recall_at(ranks, 1) == pytest.approx(1 / 3)
    assert metrics.recall_at(ranks, 2) == pytest.approx(2 / 3)
    assert metrics.mean_reciprocal_rank(ranks) == pytest.approx((1 + 1 / 2 + 1 / 4) / 3)


def test_average_precision_is_scikit_learns():
    draw = np.random.default_rng(0)
    similarity, relevant = draw.random((20, 30), np.float32), draw.random((20, 30)) < 0.2
    relevant[:, 0] = True
    expected = np.mean([slow.average_precision_score(r, s) for r, s in zip(relevant, similarity, strict=True)])
    assert metrics.mean_average_precision(metrics.relevance_in_order(similarity, relevant)) == pytest.approx(expected)


@pytest.mark.parametrize("k", [1, 5, 10, 50])
def test_ndcg_is_scikit_learns(k):
    draw = np.random.default_rng(1)
    similarity, relevant = draw.random((20, 30), np.float32), draw.random((20, 30)) < 0.3
    relevant[:, 0] = True
    assert metrics.ndcg_at(metrics.relevance_in_order(similarity, relevant), k) == pytest.approx(
        slow.ndcg_score(relevant, similarity, k=k)
    )


def test_precision_recall_and_f1_of_each_class_are_scikit_learns():
    draw = np.random.default_rng(2)
    truth, predicted = draw.integers(0, 4, 50), draw.integers(0, 4, 50)
    expected = slow.precision_recall_fscore_support(truth, predicted, labels=range(4), zero_division=0)
    assert metrics.precision_recall_f1(truth, predicted, 4) == pytest.approx(np.stack(expected[:3], axis=1))


def test_top_k_accuracy_is_scikit_learns():
    draw = np.random.default_rng(3)
    similarity, truth = draw.random((40, 6), np.float32), draw.integers(0, 6, 40)
    for k in (1, 3):
        assert metrics.top_k_accuracy(similarity, truth, k) == pytest.approx(
            slow.top_k_accuracy_score(truth, similarity, k=k, labels=range(6))
        )


# retrieval


def test_a_photo_with_two_captions_is_found_by_each_and_finds_either():
    photos = np.eye(3, dtype=np.float32)
    # Photo 0 has captions 0 and 1; caption 1 points at photo 2 more than at its own.
    captions = np.array([[1, 0, 0], [0.6, 0, 0.8], [0, 1, 0], [0, 0, 1]], np.float32)
    table = metrics.retrieval(photos, captions, np.array([0, 0, 1, 2]))
    assert table["text_to_image"]["R@1"] == pytest.approx(3 / 4)
    assert table["text_to_image"]["R@5"] == 1
    assert table["text_to_image"]["MRR"] == pytest.approx((1 + 1 / 2 + 1 + 1) / 4)
    assert table["image_to_text"]["R@1"] == 1
    # Photo 0 ranks its captions first and second, so its average precision is 1 too.
    assert table["image_to_text"]["mAP"] == pytest.approx(1)


# agreement with people


def test_by_hand_one_pair_of_three_the_wrong_way_round():
    scores, judgements = np.array([0.1, 0.4, 0.3]), np.array([1.0, 2.0, 3.0])
    assert metrics.rank_correlation("b", scores, judgements) == pytest.approx((2 - 1) / 3)
    assert metrics.rank_correlation("c", scores, judgements) == pytest.approx(2 * (2 - 1) / (9 * 2 / 3))
    assert metrics.rank_correlation("Spearman", scores, judgements) == pytest.approx(0.5)


def test_scores_that_say_nothing_agree_with_nobody():
    same, judgements = np.ones(5), np.arange(5.0)
    assert [metrics.rank_correlation(kind, same, judgements) for kind in ("b", "c", "Spearman")] == [0, 0, 0]
