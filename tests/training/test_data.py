"""What is learned from: read with its faults named, drawn fairly, and reproducible."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from evaluation.datasets import DataError, Example
from indexer.photos.preprocessing import Preprocessing
from training.data import PairSampler, Photos, check_photos, fits_by_chance, read_source, remembered
from training.settings import DataSource

TEMPLATES = ("{}", "a photo of {}")


def captioned(count: int) -> list[Example]:
    return [Example(f"c:{n}", b"", (f"photo {n}", f"number {n}", "a thing")) for n in range(count)]


def sampler(examples: list[Example], **options: int) -> PairSampler:
    return PairSampler(examples, TEMPLATES, **({"batch": 4, "captions": 2, "seed": 0} | options))


def test_the_split_that_is_asked_for_is_read(gallery):
    sizes = {split: len(read_source(DataSource("captions.jsonl", split=split), gallery)) for split in ("train", "val")}
    assert sizes == {"train": 24, "val": 8}
    assert len(read_source(DataSource("captions.jsonl", split="all"), gallery)) == 32


def test_of_a_set_without_splits_every_tenth_photo_is_held_out(labelled):
    read = {
        split: read_source(DataSource("labelled.tar", "labelled_tar", split), labelled) for split in ("train", "val")
    }
    assert (len(read["train"]), len(read["val"])) == (10, 2)
    assert not {one.where for one in read["train"]} & {one.where for one in read["val"]}


def test_a_split_that_is_empty_is_named_with_those_there_are(gallery):
    with pytest.raises(DataError, match=r"captions\.jsonl: no photo .* split 'test'; it has train, val"):
        read_source(DataSource("captions.jsonl", split="test"), gallery)


def test_photos_that_all_say_the_same_are_refused(gallery):
    path = gallery / "same.jsonl"
    path.write_text("".join(json.dumps({"image": f"images/{n}.png", "captions": ["a wall"]}) + "\n" for n in range(20)))
    with pytest.raises(DataError, match=r"same\.jsonl: all photos say the same"):
        read_source(DataSource("same.jsonl"), gallery)


def test_a_file_that_is_no_photo_is_named_with_its_line(gallery):
    (gallery / "images" / "5.png").write_text("no photo")
    with pytest.raises(DataError, match=r"captions\.jsonl:6: the photo cannot be read"):
        check_photos(read_source(DataSource("captions.jsonl"), gallery), 2)


def test_a_damaged_photo_is_named_when_it_is_decoded(gallery):
    path = gallery / "images" / "5.png"
    path.write_bytes(path.read_bytes()[:900])
    examples = read_source(DataSource("captions.jsonl"), gallery)
    check_photos(examples, 2)  # its header is whole
    photos = Photos(examples, recipe(16), workers=2, megabytes=1)
    with pytest.raises(DataError, match=r"captions\.jsonl:6: the photo cannot be read"):
        photos([4, 5])


def recipe(size: int) -> Preprocessing:
    return Preprocessing(size, (0.5, 0.5, 0.5), (1.0, 1.0, 1.0), mode="squash")


def test_photos_are_kept_while_there_is_room_and_decoded_again_beyond(tmp_path):
    examples = []
    for number in range(4):
        path = tmp_path / f"{number}.bmp"
        Image.new("RGB", (600, 600), (number, 0, 0)).save(path)
        examples.append(Example(str(path), path))
    photos = Photos(examples, recipe(600), workers=1, megabytes=3)  # two squares of 1.08 MB
    assert [int(square[0, 0, 0]) for square in photos([0, 1, 2, 3])] == [0, 1, 2, 3]
    for path in tmp_path.iterdir():
        path.unlink()
    assert [int(square[0, 0, 0]) for square in photos([1, 0])] == [1, 0]
    with pytest.raises(DataError):
        photos([2])


def test_every_photo_comes_once_an_epoch():
    draws = sampler(captioned(12))
    epochs = [sorted(row for _ in range(draws.steps_an_epoch) for row in draws.batch().rows) for _ in range(3)]
    assert epochs == [list(range(12))] * 3


def test_a_batch_larger_than_the_data_is_all_of_it():
    assert sorted(sampler(captioned(3), batch=50).batch().rows) == [0, 1, 2]


def test_each_photo_brings_as_many_of_its_captions_as_wanted_none_twice():
    batch = sampler(captioned(8), captions=2).batch()
    assert torch.bincount(batch.owners).tolist() == [2, 2, 2, 2]
    for position, row in enumerate(batch.rows):
        own = [sentence for sentence, owner in zip(batch.sentences, batch.owners, strict=True) if owner == position]
        assert len(set(own)) == 2
        assert set(own) <= set(captioned(8)[row].captions)


def test_labels_become_sentences_by_templates():
    examples = [Example(f"l:{n}", b"", label=("Egyptian cat", "rose")[n % 2]) for n in range(8)]
    said = {sentence for _ in range(20) for sentence in sampler(examples).batch().sentences}
    assert said >= {"an Egyptian cat", "a photo of an Egyptian cat", "a photo of a rose"}


def test_what_fits_by_chance_is_known():
    ignored = fits_by_chance(["a dog", "a dog", "a cat"], torch.tensor([0, 1, 2]), ["x", 1, "x"])
    assert ignored.tolist() == [[True, True, True], [True, True, False], [True, False, True]]


def test_one_seed_draws_the_same_and_a_state_is_gone_on_from():
    one, two = sampler(captioned(9)), sampler(captioned(9))
    assert one.batch().sentences == two.batch().sentences
    state = one.state()
    expected = [one.batch().sentences for _ in range(5)]
    one.restore(state)
    assert [one.batch().sentences for _ in range(5)] == expected
    assert [sampler(captioned(9), seed=1).batch().rows] != [sampler(captioned(9)).batch().rows]


def test_what_stands_still_is_computed_once():
    asked: list[str] = []

    def embed(sentences):
        asked.extend(sentences)
        return torch.tensor([[float(len(sentence))] for sentence in sentences])

    known = remembered(embed)
    assert known(["a", "bb", "a"]).flatten().tolist() == [1, 2, 1]
    assert known(["bb", "ccc"]).flatten().tolist() == [2, 3]
    assert asked == ["a", "bb", "ccc"]


def test_a_missing_file_says_where_it_was_looked_for(tmp_path: Path):
    with pytest.raises(DataError, match="missing; paths of data are looked for below --data"):
        read_source(DataSource("nothing.jsonl"), tmp_path)


def test_squares_are_what_the_recipe_makes(gallery):
    examples = read_source(DataSource("captions.jsonl"), gallery)
    (square,) = Photos(examples, recipe(16), workers=1, megabytes=1)([0])
    assert np.array_equal(square, recipe(16).prepare(examples[0].image()))
