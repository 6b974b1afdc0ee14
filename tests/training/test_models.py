"""Models that learn become the encoders that serve, and learn only where they are free to."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from indexer.encoders import load_encoder
from indexer.encoders.embedded_image import Conv
from indexer.encoders.layers import ConvShape
from indexer.errors import EncoderUnavailable, UnknownEncoder
from training.models import Similarity, free_last, load_model
from training.models.embedded import MatrixDepthwise
from training.settings import ModelChoice

SENTENCES = ["a red photo", "two dogs run over the beach", ""]


def choice(name: str, *, weights: str = "own", image: int | str = "all", text: int | str = "all") -> ModelChoice:
    return ModelChoice(name, weights, image, text)


def agree(model, name: str, least: float) -> None:
    """The model and the encoder that was saved of it embed alike."""
    encoder = load_encoder(name, device="cpu")
    photos = [Image.new("RGB", (50, 40), colour) for colour in ("red", "navy")]
    model.image.eval()
    model.text.eval()
    with torch.no_grad():
        pixels = torch.from_numpy(np.stack([model.recipe.prepare(photo) for photo in photos]))
        ours = {"image": model.embed_photos(pixels), "text": model.embed_sentences(model.tokens(SENTENCES))}
    for modality, values in (("image", photos), ("text", SENTENCES)):
        theirs = encoder.embed(modality, values)
        assert np.vecdot(ours[modality].numpy(), theirs).min() > least
        assert theirs.shape[1] == model.dimension


def shaken(model) -> None:
    torch.manual_seed(0)
    for tower in (model.image, model.text):
        for parameter in tower.parameters():
            parameter.data += 0.02 * torch.randn_like(parameter) * parameter.abs().mean()


@pytest.fixture
def tiny(gallery: Path) -> str:
    return f"open_clip:{gallery / 'tiny-clip.json'}"


def test_the_shipped_encoder_is_learned_from_and_served_again(tmp_path):
    model = load_model(choice("embedded"))
    agree(model, "embedded", 0.999)
    shaken(model)
    agree(model, model.save(tmp_path / "encoder", Similarity(20.0)), 0.999)


def test_an_open_clip_model_is_served_as_it_was_trained(tiny, tmp_path):
    torch.manual_seed(0)
    model = load_model(choice(tiny, weights="random"))
    assert model.similarity is None
    shaken(model)
    name = model.save(tmp_path / "encoder", Similarity(33.0))
    agree(model, name, 0.999)
    again = load_model(choice(name))
    assert again.similarity is not None
    assert again.similarity.scale == pytest.approx(33)
    agree(again, name, 0.999)


def test_a_learned_bias_travels_with_the_model(tiny, tmp_path):
    model = load_model(choice(tiny, weights="random"))
    name = model.save(tmp_path / "encoder", Similarity(10.0, -9.0))
    agree(model, name, 0.999)
    assert load_model(choice(name)).similarity == Similarity(pytest.approx(10.0), -9.0)


@pytest.mark.parametrize("form", ["embedded", "tiny"])
@pytest.mark.parametrize("free", ["none", 1, 2, "all"])
def test_more_and_more_of_a_tower_is_free(form, free, tiny):
    name, weights = ("embedded", "own") if form == "embedded" else (tiny, "random")
    model = load_model(choice(name, weights=weights, image=free, text="none"))
    counted = sum(parameter.requires_grad for parameter in model.image.parameters())
    total = len(list(model.image.parameters()))
    assert not any(parameter.requires_grad for parameter in model.text.parameters())
    assert {"none": counted == 0, "all": counted == total}.get(free, 0 < counted < total)


def test_only_what_is_nearest_to_the_output_is_free():
    layers = [nn.Linear(2, 2) for _ in range(3)]
    free_last(layers, 1)
    assert [layer.weight.requires_grad for layer in layers] == [False, False, True]
    free_last(layers, 9)
    assert all(layer.weight.requires_grad for layer in layers)


@pytest.mark.parametrize(
    ("name", "weights", "error", "message"),
    [
        ("clip", "own", UnknownEncoder, "No model 'clip' can be trained; there are embedded, open_clip"),
        ("open_clip:ViT-Z", "random", UnknownEncoder, "open_clip knows no architecture 'ViT-Z'"),
        ("open_clip:/nothing.json", "random", EncoderUnavailable, "cannot be read as a model's configuration"),
        ("embedded:/nothing", "own", EncoderUnavailable, "holds no encoder"),
    ],
)
def test_what_cannot_be_loaded_is_named(name, weights, error, message):
    with pytest.raises(error, match=message):
        load_model(choice(name, weights=weights))


def test_a_configuration_that_lacks_a_tower_is_refused(tmp_path):
    path = tmp_path / "half.json"
    path.write_text(json.dumps({"embed_dim": 8, "text_cfg": {}}))
    with pytest.raises(EncoderUnavailable, match="vision_cfg is missing"):
        load_model(choice(f"open_clip:{path}", weights="random"))


def test_weights_of_another_shape_are_refused(tiny, tmp_path):
    name = load_model(choice(tiny, weights="random")).save(tmp_path / "encoder", Similarity(10.0))
    checkpoint = tmp_path / "encoder" / "open_clip_model.safetensors"
    with pytest.raises(EncoderUnavailable, match="another architecture"):
        load_model(choice(f"open_clip:ViT-S-32/{checkpoint}"))
    assert load_model(choice(name)).dimension == 16


@pytest.mark.parametrize(("kernel", "stride", "size"), [(3, 2, 8), (3, 2, 7), (5, 1, 6), (5, 2, 9), (5, 2, 10)])
def test_values_and_gradients_agree(kernel, stride, size):
    torch.manual_seed(0)
    conv = Conv(ConvShape(6, 6, kernel, stride, 6, relu=True))
    same = MatrixDepthwise(conv)
    x = torch.randn(2, 6, size, size)
    for module in (conv, same):
        conv.zero_grad()
        y = module(x)
        y.square().sum().backward()
        if module is conv:
            expected, gradient = y.detach(), conv.weight.grad.clone()
    assert torch.allclose(y, expected, atol=1e-5)
    assert torch.allclose(conv.weight.grad, gradient, atol=1e-3)
