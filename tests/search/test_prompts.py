"""Single words are embedded in sentences, sentences as they are."""

import numpy as np
import pytest

from indexer.encoders import load_encoder, unit_rows
from search.prompts import PROMPTS, embed_texts


@pytest.mark.parametrize("text", ["coffee", "a coffee", " The coffee ", "Coffee"])
def test_a_single_word_is_the_mean_of_its_prompts(text: str) -> None:
    encoder = load_encoder(device="cpu")
    (row,) = embed_texts(encoder, [text])
    word = text.split()[-1]
    sentences = encoder.embed("text", [text, PROMPTS[1].format(word)])
    np.testing.assert_allclose(row, unit_rows(sentences.mean(axis=0)), atol=1e-6)


def test_sentences_and_numbers_are_embedded_as_they_are_and_in_order() -> None:
    encoder = load_encoder(device="cpu")
    texts = ["a dog on the beach", "2019", "dog", "", "red cars"]
    rows = embed_texts(encoder, texts)
    plain = encoder.embed("text", texts)
    same = [np.allclose(one, other) for one, other in zip(rows, plain, strict=True)]
    assert same == [True, True, False, True, True]
    assert embed_texts(encoder, []).shape == (0, encoder.dimension)
