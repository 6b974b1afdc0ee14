"""What a step of training sees: shares, captions, labels as sentences, and pairs that fit by chance."""

from pathlib import Path

import numpy as np
import pytest
import torch

from evaluation.datasets import DataError, Example
from training.ahead import Ahead
from training.augment import Augmentation, crop, relight
from training.shipped.batches import Sampler
from training.shipped.corpus import Part, Source, label_vocabulary
from training.shipped.drawn import KINDS, drawn
from training.shipped.starting_points import ImageStart
from training.shipped.words import Groups, Vocabulary, read_groups


def part(name: str, examples: list[Example], share: float) -> Part:
    return Part(Source(name, "", "", 8, share), tuple(examples), np.zeros((len(examples), 3, 8, 8), np.uint8))


@pytest.fixture
def sampler() -> Sampler:
    captioned = part("captioned", [Example(f"c{n}", b"", ("a dog", f"dog {n}")) for n in range(10)], 0.5)
    labelled = part("labelled", [Example(f"l{n}", b"", label=("rose", "cat")[n % 2]) for n in range(10)], 0.5)
    vocabulary = label_vocabulary(labelled, 10, 20)
    assert vocabulary is not None
    return Sampler([captioned, labelled], [vocabulary], shares=[0.5, 0.5], captions=2, templates=3, seed=0)


def test_no_photo_comes_twice_and_shares_are_kept(sampler):
    rows = torch.cat([sampler.batch(8).rows for _ in range(50)])
    assert len(sampler.batch(8).rows.unique()) == 8
    assert abs((rows < 10).float().mean() - 0.5) < 0.1


def test_labels_become_sentences_and_captions_stay(sampler):
    batch = sampler.batch(12)
    for sentence, owner in zip(batch.sentences, batch.owners.tolist(), strict=True):
        assert ("dog" in sentence) == (batch.rows[owner] < 10)


def test_photos_of_one_class_and_equal_sentences_are_not_held_against_each_other(sampler):
    batch = sampler.batch(16)
    for position, (sentence, owner) in enumerate(zip(batch.sentences, batch.owners.tolist(), strict=True)):
        for other in range(len(batch.rows)):
            same_class = bool(batch.rows[owner] >= 10 and (batch.rows[owner] - batch.rows[other]) % 2 == 0)
            fits = owner == other or (same_class and batch.rows[other] >= 10) or sentence == "a dog"
            if sentence != "a dog" or batch.rows[other] >= 10:
                fits = owner == other or (same_class and batch.rows[other] >= 10)
            assert bool(batch.ignored[position, other]) == fits


def test_a_sampler_goes_on_where_its_state_was_taken(sampler):
    sampler.batch(8)
    state = sampler.state()
    expected = sampler.batch(8)
    sampler.restore(state)
    again = sampler.batch(8)
    assert again.sentences == expected.sentences
    assert torch.equal(again.rows, expected.rows)


def test_working_ahead_changes_neither_what_comes_nor_where_a_run_goes_on(sampler):
    begin = sampler.state()
    expected = [sampler.batch(8).sentences for _ in range(4)]
    sampler.restore(begin)
    ahead = Ahead(sampler, lambda _: sampler.batch(8).sentences)
    first = [ahead(0), ahead(1)]
    state = ahead.state()
    assert [*first, ahead(2)] == expected[:3]
    ahead.restore(state)
    assert [ahead(2), ahead(3)] == expected[2:]


def test_words_of_one_table_may_not_overlap(tmp_path):
    (tmp_path / "words.toml").write_text('[everyday]\n"cat" = "1-3"\n"dog" = "3"\n')
    with pytest.raises(DataError, match=r"\[everyday\] the classes \[3\]"):
        read_groups(tmp_path / "words.toml")


def test_probabilities_of_classes_add_up_to_those_of_words():
    groups = Groups(("cat", "dog"), ((1, 2), (3,)))
    classes = torch.tensor([[0.1, 0.2, 0.3, 0.4]])
    assert torch.allclose(classes @ groups.matrix(4), torch.tensor([[0.5, 0.4]]))


def test_the_committed_words_name_classes_that_exist():
    groups = read_groups(Path(__file__).parents[3] / "training" / "shipped" / "words.toml")
    assert set(groups) == {"everyday", "broad"}
    assert all(0 < number <= 1000 for group in groups.values() for members in group.members for number in members)


def test_a_crop_has_the_size_asked_for_and_comes_from_the_photo():
    draw = np.random.default_rng(0)
    photo = np.full((3, 40, 40), 77, np.uint8)
    square = crop(photo, 24, Augmentation(blur=0.5), draw)
    assert square.shape == (3, 24, 24)
    assert square.unique().tolist() == [77]


def test_relighting_keeps_bytes_and_makes_some_grey():
    draw = np.random.default_rng(0)
    photos = torch.randint(0, 256, (40, 3, 8, 8), dtype=torch.uint8)
    lit = relight(photos, Augmentation(grey=1.0, light=0.0), draw)
    assert lit.dtype == torch.uint8
    assert torch.equal(lit[:, 0], lit[:, 1])


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_can_be_drawn(kind):
    photo = drawn(kind, 48, np.random.default_rng(0))
    assert photo.shape == (3, 48, 48)
    assert photo.std() > 2


def test_a_vocabulary_and_a_start_are_plain_data():
    assert Vocabulary("x", (("a",),), torch.zeros(1, 1)).labelled is False
    assert ImageStart.__dataclass_params__.frozen
