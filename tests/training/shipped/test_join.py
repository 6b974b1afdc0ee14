"""Two answers made one: cosines of rows laid end to end, hubs held down, and a head that is given them by ridge."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from indexer.encoders.embedded_image import Head
from training.loop import Plan
from training.shipped.join import Answer, _by_ridge, _csls, _end_to_end, _nearness, _rotated
from training.shipped.recipe import Join

HOW = Join(Plan(1, 1, {}), 0.5, 1.0, 0.5, 0.25, 0.0, 5, 0.5, 0.2, 4.0, 25.0, 16, 0.3)


def rows(count: int, width: int, seed: int) -> torch.Tensor:
    return functional.normalize(torch.randn(count, width, generator=torch.Generator().manual_seed(seed)), dim=1)


def answer(seed: int) -> Answer:
    turn = rows(6, 6, seed)
    return Answer(
        lambda inputs: functional.normalize(inputs @ turn, dim=1), lambda inputs: functional.normalize(inputs, dim=1)
    )


def test_the_cosine_of_joint_rows_is_the_weighted_mean_of_both():
    first, second, photos, sentences = answer(1), answer(2), rows(5, 6, 3), rows(7, 6, 4)
    both = _end_to_end(first, second, 0.3)
    cosines = both.sentences(sentences) @ both.photos(photos).T
    each = [one.sentences(sentences) @ one.photos(photos).T for one in (first, second)]
    assert torch.allclose(cosines, 0.3 * each[0] + 0.7 * each[1], atol=1e-6)


def test_turning_to_all_dimensions_without_flattening_changes_no_cosine():
    both, photos, sentences = _end_to_end(answer(1), answer(2), 0.5), rows(50, 6, 3), rows(70, 6, 4)
    rotated = _rotated(both, both.photos(photos), both.sentences(sentences), 12, 0.0)
    before = both.sentences(sentences) @ both.photos(photos).T
    assert torch.allclose(rotated.sentences(sentences) @ rotated.photos(photos).T, before, atol=1e-5)


def test_a_hub_falls_behind_a_photo_that_is_near_to_few():
    photos, sentences = rows(60, 6, 5), rows(80, 6, 6)
    photos[0] = functional.normalize(sentences.mean(dim=0), dim=0)  # near to everything
    plain = Answer(lambda inputs: inputs, lambda inputs: inputs)
    held = _csls(plain, photos, sentences, HOW)
    before, after = sentences @ photos.T, held.sentences(sentences) @ held.photos(photos).T
    hubness = _nearness(photos, sentences, HOW.neighbours)
    hub = int(hubness.argmax())
    assert (after.argmax(dim=1) == hub).sum() < (before.argmax(dim=1) == hub).sum()
    # of two photos equally near to a sentence, the one that is nearer to others loses
    change = np.corrcoef((after - before).mean(dim=0).numpy(), hubness.numpy())[0, 1]
    assert change < -0.9


def test_a_head_by_ridge_gives_what_a_linear_map_of_its_input_gives():
    torch.manual_seed(0)
    head, inputs = Head(6, 10, 4), torch.randn(400, 6)
    right = functional.normalize(functional.layer_norm(inputs, (6,)) @ torch.randn(6, 4), dim=1)
    _by_ridge(head, inputs, right)
    with torch.no_grad():
        cosines = (functional.normalize(head(inputs), dim=1) * right).sum(dim=1)
    assert cosines.mean().item() == pytest.approx(1.0, abs=0.02)
