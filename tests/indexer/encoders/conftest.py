"""Tiny open_clip models with random weights, saved as open_clip saves its own."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from indexer.encoders.open_clip_source import quiet

PREPROCESS = {
    "mean": [0.48, 0.46, 0.41],
    "std": [0.27, 0.26, 0.28],
    "interpolation": "bicubic",
    "resize_mode": "shortest",
}
SaveModel = Callable[..., Path]


def tiny_config(text: dict[str, Any], **model: Any) -> dict[str, Any]:
    return {
        "embed_dim": 32,
        "vision_cfg": {"image_size": 64, "layers": 2, "width": 64, "head_width": 32, "patch_size": 16},
        "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2, **text},
        **model,
    }


@pytest.fixture(scope="session")
def save_model(tmp_path_factory: pytest.TempPathFactory) -> SaveModel:
    """Makes a folder with a tiny model: `save_model(text={...}, preprocess={...}, seed=0, **model_config)`."""
    import open_clip
    import torch
    from safetensors.torch import save_file

    def save(
        *, text: dict[str, Any] | None = None, preprocess: dict[str, Any] | None = None, seed: int = 0, **model: Any
    ) -> Path:
        folder = tmp_path_factory.mktemp("model")
        config = {"model_cfg": tiny_config(text or {}, **model), "preprocess_cfg": PREPROCESS | (preprocess or {})}
        (folder / "open_clip_config.json").write_text(json.dumps(config))
        torch.manual_seed(seed)
        with quiet():
            network = open_clip.create_model(f"local-dir:{folder}")
        for name, weight in network.named_parameters():
            if name == "text_decoder.text_projection":  # of CoCa, which open_clip leaves as the memory was
                torch.nn.init.normal_(weight, std=0.1)
        # Untrained biases are zero and scales one: only weights that differ from that show a mistake with them.
        state = {
            name: (weight + 0.1 * torch.randn_like(weight)).contiguous()
            for name, weight in network.state_dict().items()
        }
        save_file(state, folder / "open_clip_model.safetensors")
        return folder

    return save


@pytest.fixture(scope="session")
def tiny_model(save_model: SaveModel) -> Path:
    """A folder with a tiny model of CLIP's own shape."""
    return save_model()


@pytest.fixture(scope="session")
def real_photos() -> list[Path]:
    """The two photos that scikit-learn carries, 640 x 427."""
    package = find_spec("sklearn")
    assert package and package.submodule_search_locations
    folder = Path(package.submodule_search_locations[0]) / "datasets" / "images"
    return [folder / "china.jpg", folder / "flower.jpg"]
