"""What is learned from and what never is, what is said of photos, and what a batch draws."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from evaluation.datasets import DataError
from training.shipped.corpus import (
    Corpus,
    Sampler,
    difference_hashes,
    label_vocabularies,
    read_part,
    read_tables,
    targets,
    vocabularies,
)
from training.shipped.recipe import read_recipe


def read(world: Path) -> Corpus:
    recipe = read_recipe(world / "recipe.toml")
    parts = [read_part(one, world / "data", world / "out" / f"{one.name}.npy") for one in recipe.source]
    return Corpus(parts, recipe)


def test_held_out_photos_are_never_drawn(world):
    corpus = read(world)
    kept = {row for name in ("captioned", "labelled") for row in corpus.held_out(name)[0].tolist()}
    assert len(kept) == 8 + 2  # the photos marked "val", and the first of each ten labelled ones
    assert [example.split for example in corpus.held_out("captioned")[1]] == ["val"] * 8
    sampler = Sampler(corpus, batch=12, captions=2, seed=1)
    drawn = {row for _ in range(50) for row in sampler.batch().rows.tolist()}
    assert drawn == set(range(len(corpus.examples))) - kept
    assert not kept & set(corpus.pairs[:, 1].tolist())


def test_a_photo_that_is_a_held_out_one_again_is_left_out(world):
    again = Image.open(world / "data" / "images" / "20.png")
    again.save(world / "data" / "images" / "5.png")
    corpus = read(world)
    assert 5 not in corpus.learned[0]
    assert len(corpus.learned[0]) == 15


def test_photos_differ_in_more_bits_than_a_photo_from_itself_made_smaller():
    draw = np.random.default_rng(0)
    large = draw.integers(0, 256, (2, 3, 64, 64)).astype(np.uint8)
    large = large.repeat(2, axis=2).repeat(2, axis=3)
    first, second = difference_hashes(large)
    assert (first != second).sum() > 16
    assert (difference_hashes(large[:, :, ::2, ::2])[0] != first).sum() <= 2


def test_captions_are_said_as_they_are_and_labels_in_templates(world):
    corpus = read(world)
    assert [corpus.sentences[number] for number in corpus.said[0]] == ["a red photo", "everything is red"]
    row = int(corpus.learned[1][0])
    label = corpus.examples[row].label
    assert {corpus.sentences[number] for number in corpus.said[row]} == {f"a {label}", f"a photo of a {label}"}
    assert corpus.is_caption.sum() == 2 * 16


def test_a_batch_names_its_sentences_owners_and_what_fits_by_chance(world):
    corpus = read(world)
    batch = Sampler(corpus, batch=12, captions=2, seed=1).batch()
    for number, owner in zip(batch.sentences, batch.owners.tolist(), strict=True):
        assert number in corpus.said[batch.rows[owner]]
    ignored = batch.ignored.numpy()
    said = [corpus.sentences[number] for number in batch.sentences]
    for place, one in enumerate(said):
        twins = {int(batch.owners[other]) for other, sentence in enumerate(said) if sentence == one}
        assert twins <= set(np.flatnonzero(ignored[place]).tolist())


def test_photos_of_another_run_are_refused(world):
    read(world)
    lines = (world / "data" / "captions.jsonl").read_text().splitlines()
    (world / "data" / "captions.jsonl").write_text("\n".join(lines[:-1]) + "\n")
    with pytest.raises(DataError, match="other photos"):
        read(world)


def test_everyday_words_get_what_their_classes_have_and_labels_correct_the_classifier(world):
    corpus = read(world)
    tables = read_tables(world / "everyday.toml")
    classes = [("background",), ("rose", "red rose"), ("red",), ("sky",), ("grass",)]
    prompts, everyday = vocabularies(corpus, classes, tables)
    assert [corpus.sentences[number] for number in everyday[0]] == ["a red thing", "a photo of a red thing"]
    assert [corpus.sentences[number] for number in prompts[1]][:3] == ["a rose", "a photo of a rose", "a red rose"]
    said = torch.full((len(corpus.examples), 5), 0.2)
    leaves, grouped = targets(said, corpus.examples, classes, tables)
    red = next(row for row, example in enumerate(corpus.examples) if example.label == "red")
    assert leaves[red, 2].item() == pytest.approx(0.92, abs=1e-3)
    assert grouped[red].tolist() == pytest.approx([0.94, 0.02], abs=1e-3)
    assert grouped[0].tolist() == pytest.approx([0.4, 0.2], abs=1e-3)  # a photo without a label


def test_the_labels_of_a_set_compete_for_its_photos_alone(world):
    corpus = read(world)
    (labels,) = label_vocabularies(corpus)
    assert labels.targets.shape == (len(corpus.examples), 4)
    assert labels.targets.sum(dim=1).nonzero().flatten().tolist() == corpus.learned[1].tolist()
    for row in corpus.learned[1].tolist():
        said = corpus.sentences[labels.prompts[int(labels.targets[row].argmax())][0]]
        assert said == f"a {corpus.examples[row].label}"


def test_what_is_said_of_held_out_photos_alone_is_not_read(world):
    path = world / "data" / "captions.jsonl"
    lines = path.read_text().splitlines()
    lines[20] = lines[20].replace("everything is red", "a secret")
    path.write_text("\n".join(lines) + "\n")
    corpus = read(world)
    assert set(range(len(corpus.sentences))) - set(corpus.may_be_read().tolist()) == {corpus.number("a secret")}
