"""The measurement of words beside meaning, over photos of one colour."""

from pathlib import Path

import pytest
from painting import paint

from evaluation.datasets import DataError, Example
from evaluation.hybrid import PLACES, hybrid
from indexer.testing import color_encoder

COLORS = ("red", "blue")


def test_words_find_folders_and_rare_words_and_meaning_the_rest(tmp_path: Path) -> None:
    # of each place six photos are red and six blue: enough to be asked for
    examples = [
        Example(
            "",
            paint(tmp_path / f"{number}.png", color := COLORS[number // len(PLACES) % 2]),
            (f"the {color} one", f"something {color} called zebra{chr(97 + number % 26)}{chr(97 + number // 26)}"),
        )
        for number in range(12 * len(PLACES))
    ]
    table = hybrid(color_encoder(), examples)
    assert table["photos"] == len(examples)
    assert table["folders: by meaning"]["questions"] == 2 * len(PLACES)
    assert table["folders: by meaning"]["of 10 possible"] < 0.5
    assert table["folders: by meaning and words"]["of 10 possible"] > 0.9
    assert table["rare words, captions indexed: by meaning and words"]["first is right"] > 0.9
    kinds = [name for name in table if name.startswith("sentences, no captions")]
    assert len({table[kind]["first is right"] for kind in kinds}) == 1


def test_photos_in_an_archive_are_refused() -> None:
    with pytest.raises(DataError, match="archive"):
        hybrid(color_encoder(), [Example("a.tar:1", b"", ("a dog",))])
