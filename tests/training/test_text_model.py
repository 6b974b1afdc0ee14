"""The trained text tower and the numpy one that answers queries are the same function."""

from pathlib import Path

import numpy as np
import pytest
import torch

from indexer.encoders.embedded import read_weights
from indexer.encoders.embedded_text import TextTower, TextWeights
from indexer.shipped import shipped
from training.export import pack, quantise_rows
from training.text_model import TextModel, TextShape
from training.texts import Texts

SHAPE = TextShape(tokens=29528, token_width=16, width=32, layers=2, heads=4, context=12, dimension=24)
SENTENCES = ["a dog", "two dogs run over the beach", "", "a dog", "🙂", "one " * 40]
TOKENIZER = shipped("models", "embedded", "tokenizer.json")


@pytest.fixture(scope="module")
def model() -> TextModel:
    torch.manual_seed(0)
    model = TextModel(SHAPE)
    for parameter in model.parameters():
        parameter.data.uniform_(-0.3, 0.3)
    return model.eval()


@pytest.fixture(scope="module")
def tower(model: TextModel) -> TextTower:
    arrays = {name.removeprefix("text."): array for name, array in pack({}, model.state_dict()).items()}
    return TextTower(TOKENIZER, TextWeights(arrays, SHAPE.layers, SHAPE.heads, SHAPE.context))


def test_numpy_and_torch_agree(model, tower):
    with torch.no_grad():
        expected = Texts(TOKENIZER, SHAPE.context).embed(model, SENTENCES).numpy()
    rows = tower.embed([tower.prepare(sentence) for sentence in SENTENCES])
    # int8 tokens and float16 weights are all that lies between.
    assert (rows * expected).sum(axis=1).min() > 0.999


def test_a_sentence_does_not_depend_on_its_company(tower):
    together = tower.embed([tower.prepare(sentence) for sentence in SENTENCES])
    alone = np.concatenate([tower.embed([tower.prepare(sentence)]) for sentence in SENTENCES])
    assert np.allclose(together, alone, atol=1e-6)


def test_sentences_of_no_known_word_have_vectors_all_the_same(tower):
    rows = tower.embed([tower.prepare(sentence) for sentence in ("", "🙂", " \n")])
    assert np.allclose(np.linalg.norm(rows, axis=1), 1)


def test_a_long_sentence_does_not_fit_and_is_cut(tower):
    assert tower.fits("a dog on the beach")
    assert not tower.fits("one " * 40)
    assert len(tower.prepare("one " * 40)) == SHAPE.context


def test_int8_rows_are_within_half_a_step_of_the_table():
    table = np.random.default_rng(0).normal(size=(50, 16)).astype(np.float32)
    table[7] = 0
    rows, scales = quantise_rows(table)
    restored = rows * scales.astype(np.float32)[:, None]
    assert np.abs(restored - table).max(axis=1) == pytest.approx(0, abs=float(scales.max()) * 0.6)
    assert not restored[7].any()
    assert read_weights(Path(TOKENIZER).parent, "text.table_scale")
