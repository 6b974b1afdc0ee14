"""Short questions are embedded in a sentence, sentences as they are."""

import numpy as np
import pytest

from indexer.encoders import load_encoder
from search.prompt_templates import embed_texts, prompted


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("coffee", "a coffee in the picture"),
        (" a coffee. ", "a coffee in the picture"),
        ("a man in black", "a man in black in the picture"),
        ("a dog on the beach", "a dog on the beach"),
        ("2019", "2019"),
        ("", ""),
    ],
)
def test_a_short_question_is_read_in_a_sentence(text: str, read: str) -> None:
    assert prompted(text) == read


def test_questions_are_embedded_in_their_order() -> None:
    encoder = load_encoder(device="cpu")
    texts = ["a dog on the beach", "dog", "", "red cars"]
    np.testing.assert_allclose(
        embed_texts(encoder, texts), encoder.embed("text", [prompted(text) for text in texts]), atol=1e-6
    )
    assert embed_texts(encoder, []).shape == (0, encoder.dimension)
