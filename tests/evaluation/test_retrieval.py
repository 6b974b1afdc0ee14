"""The protocol with several captions a photo, worked out by hand."""

import numpy as np
import pytest

from evaluation.retrieval import retrieval


def test_a_photo_with_two_captions_is_found_by_each_and_finds_either():
    photos = np.eye(3, dtype=np.float32)
    # Photo 0 has captions 0 and 1; caption 1 points at photo 2 more than at its own.
    captions = np.array([[1, 0, 0], [0.6, 0, 0.8], [0, 1, 0], [0, 0, 1]], np.float32)
    table = retrieval(photos, captions, np.array([0, 0, 1, 2]))
    assert table["text_to_image"]["R@1"] == pytest.approx(3 / 4)
    assert table["text_to_image"]["R@5"] == 1
    assert table["text_to_image"]["MRR"] == pytest.approx((1 + 1 / 2 + 1 + 1) / 4)
    assert table["image_to_text"]["R@1"] == 1
    # Photo 0 ranks its captions first and second, so its average precision is 1 too.
    assert table["image_to_text"]["mAP"] == pytest.approx(1)
