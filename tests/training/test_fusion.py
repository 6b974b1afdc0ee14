"""A sentence and a detail as one query: the block, what it is trained on, and the command."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional

from indexer.encoders import Encoder
from indexer.testing import WordColors, color_encoder
from training import fusion
from training.__main__ import main
from training.fusion import Addition, score
from training.fusion_block import FusionBlock, added, blurred, right_among
from training.fusion_features import Questions, detail, keep, kept, pooled_regions, questions

CONFIG = """
seed = 1
part = 0.5
cells = 2
heads = 2
noise = 0.1
batch = 16
steps = 30
check_every = 10
rate = 1e-2
weight_decay = 0.0
[train]
path = "captions.jsonl"
[validation]
path = "captions.jsonl"
split = "val"
"""


@pytest.fixture
def encoder():
    return color_encoder()


def unit(*shape, seed=0):
    return functional.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)), dim=-1)


def test_before_training_the_block_adds_in_equal_parts():
    block = FusionBlock(8, heads=2)
    sentences, details, regions = unit(5, 8), unit(5, 8, seed=1), unit(5, 3, 8, seed=2)
    assert torch.allclose(block(sentences, details, regions), added(sentences, details, 0.5), atol=1e-6)


def test_attention_listens_to_the_regions_in_any_order():
    torch.manual_seed(0)
    block = FusionBlock(8, heads=2)
    torch.nn.init.normal_(block.out.weight)
    sentences, details, regions = unit(5, 8), unit(5, 8, seed=1), unit(5, 3, 8, seed=2)
    rows = block(sentences, details, regions)
    assert torch.allclose(block(sentences, details, regions.flip(1)), rows, atol=1e-5)
    assert not torch.allclose(block(sentences, details, regions.roll(1, dims=0)), rows, atol=1e-2)


def test_attention_is_that_of_the_definition():
    torch.manual_seed(0)
    block = FusionBlock(4, heads=1)
    torch.nn.init.eye_(block.out.weight)
    sentence, regions = unit(1, 4), unit(1, 3, 4, seed=1)
    key, value = block.key_value(regions)[0].split(4, dim=1)
    weights = torch.softmax(block.query(sentence) @ key.T / 2, dim=1)
    expected = functional.normalize(0.5 * sentence + 0.5 * sentence + weights @ value, dim=-1)
    assert torch.allclose(block(sentence, sentence, regions), expected, atol=1e-6)


def test_the_loss_is_least_when_each_query_finds_its_own_photo():
    photos = torch.eye(3)
    scale = torch.tensor(2.0)
    right = right_among(photos, photos, scale)
    assert right.item() == pytest.approx(np.log(np.exp(2) + 2) - 2, abs=1e-6)
    assert right_among(photos.roll(1, dims=0), photos, scale) > right


def test_noise_moves_rows_by_its_amount():
    rows = unit(200, 64)
    draw = torch.Generator().manual_seed(0)
    assert torch.allclose(blurred(rows, 0.0, draw), rows, atol=1e-6)
    cosine = (blurred(rows, 1.0, draw) * rows).sum(dim=1).mean()
    assert cosine == pytest.approx(1 / np.sqrt(2), abs=0.02)  # noise is nearly at right angles to a row


def test_a_detail_is_a_part_of_its_photo_at_a_fixed_place():
    pixels = np.arange(40 * 30 * 3, dtype=np.uint32).astype(np.uint8).reshape(30, 40, 3)
    photo = Image.fromarray(pixels)
    cut = detail(photo, 7, 0.5)
    assert cut.size == (20, 15)
    assert np.array_equal(np.asarray(cut), np.asarray(detail(photo, 7, 0.5)))
    assert detail(photo, 8, 0.5).tobytes() != cut.tobytes()
    assert detail(photo, 1, 1.0).tobytes() == photo.tobytes()


def test_regions_are_pooled_to_unit_rows_of_a_coarser_grid():
    rows = np.zeros((4, 4, 2), np.float32)
    rows[:2, :2, 0] = rows[2:, 2:, 1] = 1
    pooled = pooled_regions(rows, 2)
    assert pooled.tolist() == [[1, 0], [0, 0], [0, 0], [0, 1]]


def test_addition_is_tuned_and_centring_takes_out_what_all_have_in_common():
    photos = unit(50, 16)
    common = 3 * unit(1, 16, seed=9)
    rows = {"details": photos + common, "sentences": unit(50, 16, seed=1)}  # the sentences say nothing
    sets = Questions(photos, regions=photos[:, None], owners=torch.arange(50), **rows)
    plain = Addition.tuned(sets, torch.zeros(16), torch.zeros(16))
    centred = Addition.tuned(sets, sets.sentences.mean(0), sets.details.mean(0))
    assert centred.share > 0.5
    assert score(centred(sets.all_asked()), sets) == 100
    assert score(centred(sets.all_asked()), sets) >= score(plain(sets.all_asked()), sets)
    assert centred.name.startswith("added, centred") and plain.name.startswith("added (")


def test_questions_are_kept_for_what_they_were_made_from(tmp_path):
    made = Questions(unit(2, 4), unit(2, 4), unit(2, 1, 4), unit(3, 4), torch.tensor([0, 0, 1]))
    assert kept(tmp_path / "one.pt", "key") is None
    keep(made, tmp_path / "one.pt", "key")
    again = kept(tmp_path / "one.pt", "key")
    assert again and torch.equal(again.sentences, made.sentences)
    assert kept(tmp_path / "one.pt", "other") is None
    assert again.asked(torch.tensor([2])).photos.equal(made.photos[1:])


@pytest.fixture
def fuse(gallery, encoder, monkeypatch):
    monkeypatch.setattr(fusion, "load_encoder", lambda *_, **__: encoder)
    (gallery / "fusion.toml").write_text(CONFIG)

    def run(*more):
        paths = [
            part
            for name, path in (("config", "fusion.toml"), ("data", "."), ("out", "out"))
            for part in (f"--{name}", str(gallery / path))
        ]
        return main(["fusion", *paths, *more])

    return run


def test_the_command_compares_and_writes_the_block(fuse, gallery, capsys):
    assert fuse() == 0
    out = capsys.readouterr().out
    for way in ("sentence alone", "detail alone", "added (", "added, centred (", "learned block"):
        assert f"\n{way}" in out
    measured = json.loads((gallery / "out" / "measured.json").read_text())
    assert measured["recalls"]["learned block"]["R@10"] == 100
    assert measured["split"] == "val"


def test_a_second_run_takes_the_vectors_that_the_first_left(fuse, gallery, monkeypatch, capsys):
    fuse()
    first = capsys.readouterr().out.splitlines()[-6:]
    monkeypatch.setattr(fusion, "questions", lambda *_, **__: pytest.fail("computed again"))
    assert fuse("--report", "val") == 0
    assert capsys.readouterr().out.splitlines()[-6:] == first
    assert (gallery / "out" / "fusion.safetensors").is_file()


def test_an_encoder_that_cannot_say_what_is_where_is_refused(fuse, gallery, monkeypatch, capsys):
    blind = Encoder("blind", 4, "0", {"image": WordColors, "text": WordColors})
    monkeypatch.setattr(fusion, "load_encoder", lambda *_, **__: blind)
    assert fuse() == 2
    assert "cannot say what is where" in capsys.readouterr().err
    assert not (gallery / "out").exists()


def test_questions_belong_to_their_photos(gallery, encoder):
    from training.pairs import read_source
    from training.settings import DataSource

    examples = read_source(DataSource("captions.jsonl", split="val"), gallery)
    asked = questions(encoder, examples, part=0.5, cells=2)
    assert asked.photos.shape == asked.details.shape == (8, 4)
    assert asked.regions.shape == (8, 4, 4)
    assert asked.owners.tolist() == [number for number in range(8) for _ in range(3)]
    assert (asked.photos * asked.details).sum(dim=1).min() > 0.99  # photos of one colour
