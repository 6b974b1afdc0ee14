"""The table of encoders: each can be loaded by its alias, and its figures are open_clip's."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from indexer import shipped
from indexer.encoders import ALIASES, DEFAULT, SCHEMES, load_encoder
from indexer.encoders.models import MODELS, ModelCard, is_here

PUBLISHED = [card for card in MODELS if card.repository]


def test_aliases_are_short_and_stand_for_one_model_each() -> None:
    assert len({card.alias for card in MODELS}) == len({card.name for card in MODELS}) == len(MODELS)
    assert set(ALIASES.values()) == {card.name for card in PUBLISHED}
    assert all(card.name.partition(":")[0] in SCHEMES for card in MODELS)
    assert MODELS[0].name == DEFAULT


@pytest.mark.parametrize("card", PUBLISHED, ids=lambda card: card.alias)
def test_a_published_model_is_in_open_clip_under_that_name_and_repository(card: ModelCard) -> None:
    import open_clip
    from open_clip.pretrained import get_pretrained_cfg

    architecture, tag = card.name.removeprefix("open_clip:").split("/")
    assert get_pretrained_cfg(architecture, tag)["hf_hub"] == f"{card.repository}/"
    assert open_clip.get_model_config(architecture)["embed_dim"] == card.dimension


@pytest.mark.parametrize("alias", ["vit-b-32", "mobileclip2-s0", "siglip2-b"])
def test_its_megabytes_are_those_of_its_parameters(alias: str) -> None:
    import open_clip
    import torch

    card = next(card for card in MODELS if card.alias == alias)
    config = open_clip.get_model_config(card.name.removeprefix("open_clip:").split("/")[0])
    kind = open_clip.CustomTextCLIP if config.pop("custom_text", False) else open_clip.CLIP
    with torch.device("meta"):
        parameters = sum(weight.numel() for weight in kind(**config).parameters())
    assert card.megabytes == round(4 * parameters / 1e6)


def test_the_shipped_encoder_is_as_large_as_its_card_says() -> None:
    files = list(shipped("models", "embedded").glob("*"))
    assert MODELS[0].dimension == load_encoder("embedded", device="cpu").dimension
    assert MODELS[0].megabytes == pytest.approx(sum(path.stat().st_size for path in files) / 1e6, abs=1)


def test_a_model_is_here_once_its_weights_are_in_the_cache(tmp_path: Path) -> None:
    card = PUBLISHED[0]
    code = (
        "import sys; from indexer.encoders.models import MODELS, is_here;"
        "print([card.alias for card in MODELS if is_here(card)], 'torch' in sys.modules)"
    )
    repository = tmp_path / "hub" / f"models--{card.repository.replace('/', '--')}"
    snapshot = repository / "snapshots" / "c0ffee"
    snapshot.mkdir(parents=True)
    (snapshot / "open_clip_model.safetensors").touch()
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("c0ffee")
    result = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "HF_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout.split() == ["['embedded',", f"'{card.alias}']", "False"]
    assert is_here(MODELS[0])
