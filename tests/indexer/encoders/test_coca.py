"""CoCa on tiny random weights, beside what open_clip itself makes of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from indexer.encoders import coca
from indexer.errors import EncoderUnavailable, UnknownEncoder
from indexer.modalities.caption import load_captioner
from indexer.photos.opening import open_photo
from indexer.photos.pixels import upright_rgb

VISION = {"image_size": 64, "layers": 2, "width": 64, "head_width": 32, "patch_size": 16}


@pytest.fixture(scope="module")
def folder(save_model: Callable[..., Path]) -> Path:
    return save_model(
        text={"context_length": 76, "embed_cls": True, "output_tokens": True},
        vision_cfg=VISION | {"attentional_pool": True, "attn_pooler_heads": 2, "output_tokens": True},
        multimodal_cfg={"context_length": 76, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2},
        custom_text=True,
    )


@pytest.fixture
def captioner(folder: Path) -> coca.Captioner:
    return coca.Captioner(f"open_clip:{folder}", device="cpu")


@pytest.fixture
def pictures(real_photos: list[Path]) -> list[Image.Image]:
    noise = Image.effect_noise((80, 70), 90).convert("RGB")
    return [*(upright_rgb(open_photo(path)) for path in real_photos), Image.new("RGB", (40, 40), "red"), noise]


@pytest.fixture
def original(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """open_clip's own model, whose `generate` refuses transformers 5 for a beam search that is not wanted here."""
    transformers = pytest.importorskip("transformers", reason="open_clip decodes by it: pip install 'descry[blip]'")
    import open_clip
    from open_clip import coca_model

    monkeypatch.setattr(coca_model, "_has_transformers", True)
    monkeypatch.setitem(coca_model.GENERATION_TYPES, "top_k", transformers.TopKLogitsWarper)
    return open_clip.create_model(f"local-dir:{folder}").eval()


def test_a_caption_is_what_open_clip_says(
    captioner: coca.Captioner, original: Any, folder: Path, pictures: list[Image.Image]
) -> None:
    import open_clip

    transform = open_clip.create_model_and_transforms(f"local-dir:{folder}")[2]
    told = original.generate(torch.stack([transform(picture) for picture in pictures]), generation_type="top_k")
    expected = [open_clip.decode(row).removeprefix("<start_of_text>") for row in told]
    expected = [sentence.partition("<end_of_text>")[0].strip() for sentence in expected]
    sentences = captioner(pictures)
    assert [sentence.lower() for sentence in sentences] == [sentence.lower() for sentence in expected]
    assert len({*sentences}) > 1


@pytest.mark.parametrize("place", [2, 4, 9])
def test_a_sentence_ends_where_open_clip_ends_it(
    captioner: coca.Captioner, original: Any, pictures: list[Image.Image], place: int
) -> None:
    pixels = captioner._pixels(pictures)
    with torch.inference_mode():
        end = int(captioner._tokens(pixels)[0, place])  # from now on that token ends the first
        captioner._tokenizer.eot_token_id = end
        ours = captioner._tokens(pixels)
    theirs = original.generate(pixels, generation_type="top_k", eos_token_id=end)
    assert ours.tolist() == theirs.tolist()
    assert coca.SHORTEST <= ours[0].tolist().index(end) < coca.LONGEST


def test_a_batch_says_what_one_by_one_says(captioner: coca.Captioner, pictures: list[Image.Image]) -> None:
    assert captioner(pictures) == [sentence for picture in pictures for sentence in captioner([picture])]
    assert captioner([]) == []


def test_it_is_had_by_its_name_from_anywhere(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder.parent)
    captioner = load_captioner(f"open_clip:./{folder.name}")
    assert captioner.name == f"open_clip:{folder.resolve()}"
    load_captioner.cache_clear()


def test_what_writes_no_sentences_is_refused(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(EncoderUnavailable, match="writes no sentences: give a CoCa model, as open_clip:coca_ViT-B-32/"):
        load_captioner(f"open_clip:{tiny_model}")
    with pytest.raises(UnknownEncoder, match="no architecture 'coca_ViT-B-31'"):
        load_captioner("open_clip:coca_ViT-B-31/laion2b")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(EncoderUnavailable, match="There is no checkpoint"):
        load_captioner("open_clip:coca_ViT-B-32//no/such.safetensors")
