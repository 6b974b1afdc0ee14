"""What towers see where: the shipped encoder's cells, open_clip's places, and the part of a photo that they cover."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from indexer import shipped
from indexer.encoders import Encoder, load_encoder
from indexer.encoders.base import SeeingTower
from indexer.encoders.embedded_image import CLOSER, NEIGHBOURS, ImageModel
from indexer.encoders.open_clip_model import region_vectors
from indexer.encoders.open_clip_source import quiet
from indexer.errors import EncoderUnavailable
from indexer.photos.preprocessing import Preprocessing


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return load_encoder("embedded", device="cpu")


@pytest.fixture(scope="module")
def model(encoder: Encoder) -> ImageModel:
    """The shipped image model in float32."""
    network: ImageModel = encoder.tower("image")._model.float()  # type: ignore[attr-defined]
    return network


def bytes_of(name: str, side: int) -> torch.Tensor:
    with Image.open(shipped("photos", name)) as picture:
        pixels = np.asarray(picture.convert("RGB").resize((side, side)))
    return torch.from_numpy(pixels.transpose(2, 0, 1).copy())[None]


def test_the_shipped_encoder_sees_a_grid_of_unit_rows_over_the_whole_photo(encoder: Encoder) -> None:
    tower = encoder.tower("image")
    assert isinstance(tower, SeeingTower)
    with Image.open(shipped("photos", "coffee.jpg")) as picture:
        size = picture.size
        rows, box = tower.regions(picture)
    cells = CLOSER * 224 // 32
    assert rows.shape == (cells, cells, encoder.dimension)
    assert np.allclose(np.linalg.norm(rows, axis=-1), 1, atol=1e-5)
    assert box == (0, 0, *size)


def test_a_photo_of_one_cell_is_seen_as_it_is_embedded(model: ImageModel) -> None:
    photo = bytes_of("cat.jpg", 32)
    with torch.inference_mode():
        assert torch.allclose(model.regions(photo)[:, 0, 0], model(photo), atol=1e-5)


def test_each_cell_is_the_head_over_the_mean_of_its_neighbours(model: ImageModel) -> None:
    photo = bytes_of("cat.jpg", 160)
    with torch.inference_mode():
        cells, regions = model.trunk.cells(photo)[0], model.regions(photo)[0]
        reach = NEIGHBOURS // 2
        for row, column in ((0, 0), (2, 3), (4, 4)):
            around = cells[:, max(row - reach, 0) : row + reach + 1, max(column - reach, 0) : column + reach + 1]
            alone = torch.nn.functional.normalize(model.head(around.mean(dim=(1, 2))[None]), dim=-1)[0]
            assert torch.allclose(regions[row, column], alone, atol=1e-4)


@pytest.mark.parametrize(
    ("mode", "whole", "box"),
    [
        ("squash", (400, 200), (0, 0, 400, 200)),
        ("shortest", (400, 200), (100, 0, 300, 200)),  # the middle
        ("longest", (400, 200), (0, -100, 400, 300)),  # padded above and below
    ],
)
def test_a_recipe_says_what_of_a_photo_it_shows(mode: str, whole: tuple[int, int], box: tuple[float, ...]) -> None:
    assert Preprocessing(100, (0, 0, 0), (1, 1, 1), mode=mode).box(whole) == box


@pytest.fixture(scope="module")
def tiny_visual(tiny_model: Path) -> Any:
    import open_clip

    with quiet():
        return open_clip.create_model(f"local-dir:{tiny_model}").eval().visual


def test_a_vision_transformer_is_seen_through_the_values_of_its_last_attention(tiny_visual: Any) -> None:
    # the slow truth: the whole network, its last block kept by a mask from looking anywhere but at each place itself
    pixels = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    *before, last = tiny_visual.transformer.resblocks
    with torch.inference_mode():
        states = tiny_visual._embeds(pixels)
        for block in before:
            states = block(states)
        count = states.shape[1]
        itself = torch.full((count, count), -torch.inf).fill_diagonal_(0)
        expected = tiny_visual.ln_post(last(states, attn_mask=itself))[:, 1:] @ tiny_visual.proj
        found = region_vectors(tiny_visual, pixels)
    assert found.shape == (2, 4, 4, 32)
    assert torch.allclose(found.reshape(2, 16, 32), expected, atol=1e-4)


def test_a_convolutional_trunk_is_seen_so_that_the_mean_of_its_places_is_the_whole() -> None:
    from open_clip.timm_model import TimmModel

    torch.manual_seed(0)
    visual = TimmModel("resnet10t", 8, 64, pool="avg", proj="linear").eval()
    pixels = torch.randn(1, 3, 96, 64)
    with torch.inference_mode():
        found = region_vectors(visual, pixels)
        assert found.shape == (1, 3, 2, 8)
        assert torch.allclose(found.mean(dim=(1, 2)), visual(pixels), atol=1e-4)


def test_a_siglip_trunk_is_seen_through_the_values_of_its_pooling() -> None:
    import timm

    torch.manual_seed(0)
    trunk = timm.create_model("vit_tiny_patch16_224", img_size=64, num_classes=0, class_token=False, global_pool="map")
    pixels = torch.randn(1, 3, 64, 64)

    class TimmModel(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.trunk, self.head = trunk.eval(), torch.nn.Linear(trunk.num_features, 8)

    visual = TimmModel()
    with torch.inference_mode():
        features = trunk.forward_features(pixels)
        width, pool = trunk.num_features, trunk.attn_pool
        values = pool.proj(pool.kv(features)[..., width:])  # what attention to one place would let through
        expected = visual.head(trunk.fc_norm(values + pool.mlp(pool.norm(values))))
        found = region_vectors(visual, pixels)
    assert found.shape == (1, 4, 4, 8)
    assert torch.allclose(found.reshape(1, 16, 8), expected, atol=1e-4)


def test_clips_resnet_is_seen_through_the_values_of_its_pooling() -> None:
    from open_clip.modified_resnet import ModifiedResNet

    torch.manual_seed(0)
    visual = ModifiedResNet((1, 1, 1, 1), 8, heads=4, image_size=64, width=8).eval()
    visual.attnpool.positional_embedding = torch.nn.Parameter(torch.zeros(2, 256))  # of one place and the mean
    pixels = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        states = visual.layer4(visual.layer3(visual.layer2(visual.layer1(visual.stem(pixels)))))
        alone = visual.attnpool(states[:, :, 1:2, 0:1].contiguous())  # the pooling's mean of one place is that place
        found = region_vectors(visual, pixels)
    assert found.shape == (1, 2, 2, 8)
    assert torch.allclose(found[0, 1, 0], alone[0], atol=1e-5)


def test_a_model_whose_class_token_stands_for_all_is_refused() -> None:
    from open_clip.timm_model import TimmModel

    visual = TimmModel("vit_tiny_patch16_224", 8, 224, pool="token", proj="linear")
    with pytest.raises(EncoderUnavailable, match="cannot say what it sees where"):
        region_vectors(visual, torch.zeros(1, 3, 224, 224))


def test_an_open_clip_tower_sees_the_middle_that_it_embeds(tiny_model: Path, real_photos: list[Path]) -> None:
    tower = load_encoder(f"open_clip:{tiny_model}", device="cpu").tower("image")
    assert isinstance(tower, SeeingTower)
    with Image.open(real_photos[0]) as picture:  # 640 x 427
        rows, (left, top, right, bottom) = tower.regions(picture)
    assert rows.shape == (4, 4, 32)
    assert np.allclose(np.linalg.norm(rows, axis=-1), 1, atol=1e-3)
    assert (top, bottom) == (0, 427)
    assert right - left == pytest.approx(427, abs=10)
    assert left == pytest.approx(640 - right, abs=10)
