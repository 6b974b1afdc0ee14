"""Any open_clip model as a model that learns: from random weights, a published tag, a checkpoint or a folder."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import open_clip
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional

from indexer.atomic import atomic_write
from indexer.encoders.open_clip_model import explained, recipe_of
from indexer.encoders.open_clip_source import FOLDER_CONFIG, SCHEME, Source, find, quiet
from indexer.errors import EncoderUnavailable, UnknownEncoder
from training.models import Free, Similarity

WEIGHTS = "open_clip_model.safetensors"


def load(name: str, *, random: bool) -> OpenClipModel:
    """The model of an encoder's name; with `random`, of `open_clip:ARCH` or of `open_clip:/path/to/config.json`.

    Such a file holds what open_clip's own model configurations hold (`embed_dim`, `vision_cfg`, `text_cfg`).
    Raises `UnknownEncoder` or `EncoderUnavailable`.
    """
    if random:
        return OpenClipModel(_untrained(name.removeprefix(SCHEME)), weights=False)
    return OpenClipModel(find(name), weights=True)


def _untrained(place: str) -> Source:
    architecture = place.partition("/")[0]
    if place.endswith(".json"):
        architecture = _own_architecture(Path(place).expanduser())
    if architecture not in open_clip.list_models():
        raise UnknownEncoder(f"open_clip knows no architecture {architecture!r}; give one, or a configuration .json.")
    return Source(f"{SCHEME}{place}", architecture, ())


def _own_architecture(path: Path) -> str:
    """Makes a configuration file known to open_clip; it goes by the file's name."""
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise EncoderUnavailable(f"{path} cannot be read as a model's configuration ({error}).") from error
    if missing := {"embed_dim", "vision_cfg", "text_cfg"} - set(config):
        raise EncoderUnavailable(f"{path} is no model's configuration: {', '.join(sorted(missing))} is missing.")
    open_clip.add_model_config(path)
    return path.stem


class OpenClipModel:
    """Both towers of an open_clip model. A `Trainable`."""

    def __init__(self, source: Source, *, weights: bool) -> None:
        checkpoint = str(source.checkpoint) if weights and source.checkpoint else None
        with quiet(), explained(source):
            self._config: dict[str, Any] = deepcopy(open_clip.get_model_config(source.architecture))
            self._network: Any = open_clip.create_model(
                source.architecture,
                checkpoint,
                load_weights=weights,
                force_quick_gelu=source.quick_gelu,
                force_preprocess_cfg=dict(source.preprocess),
                require_pretrained=weights,
                pretrained_image=False,
                pretrained_text=False,
            )
            self._tokenizer = open_clip.get_tokenizer(source.architecture)
        self._name = source.name
        if source.quick_gelu:
            self._config["quick_gelu"] = True
        self.dimension = int(self._config["embed_dim"])
        self.recipe = recipe_of(self._network, source.name)
        self.image: nn.Module = self._network.visual
        self.text: nn.Module = TextSide(self._network)
        self.similarity = self._learned_similarity() if weights else None
        mean, std = (torch.tensor(values).view(3, 1, 1) for values in (self.recipe.mean, self.recipe.std))
        # byte * scale + shift = (byte / 255 - mean) / std
        self._scale, self._shift = 1 / (255 * std), -mean / std

    def _learned_similarity(self) -> Similarity:
        bias = self._network.logit_bias
        return Similarity(self._network.logit_scale.exp().item(), None if bias is None else bias.item())

    def to(self, device: torch.device) -> None:
        """Moves the whole network: masks that belong to no tower too."""
        self._network.to(device)
        self._scale, self._shift = self._scale.to(device), self._shift.to(device)

    def free(self, *, image: Free, text: Free) -> None:
        """Groups are those of open_clip's own locks: the projection is the last, the layers come before it."""
        locks = ((self.image, image, "lock_image_tower"), (self.text, text, "lock_text_tower"))
        for tower, free, lock in locks:
            tower.requires_grad_(free != "none")
            if isinstance(free, int):
                try:
                    getattr(self._network, lock)(free)
                except (AssertionError, RuntimeError, ValueError) as error:
                    raise EncoderUnavailable(f"{self._name} cannot be freed by layers; say all or none.") from error

    def tokens(self, sentences: Sequence[str]) -> Tensor:
        """Sentences as ids `[n, context]`."""
        ids: Tensor = self._tokenizer(list(sentences))
        return ids

    def embed_photos(self, pixels: Tensor) -> Tensor:
        """Photos `[n, 3, size, size]` uint8 as unit rows `[n, dimension]`."""
        scaled = pixels * self._scale + self._shift
        return functional.normalize(self._network.encode_image(scaled).float(), dim=-1)

    def embed_sentences(self, ids: Tensor) -> Tensor:
        """Ids as unit rows `[n, dimension]`."""
        return functional.normalize(self._network.encode_text(ids).float(), dim=-1)

    def save(self, folder: Path, similarity: Similarity) -> str:
        """Writes the folder in open_clip's own form; each file appears whole or not at all."""
        folder.mkdir(parents=True, exist_ok=True)
        state = {name: value.detach().cpu().contiguous() for name, value in self._network.state_dict().items()}
        state["logit_scale"] = torch.full_like(state["logit_scale"], math.log(similarity.scale))
        if similarity.bias is not None:
            # open_clip has a place for a bias only where the configuration starts with one
            state["logit_bias"] = torch.tensor(similarity.bias)
            self._config["init_logit_bias"] = similarity.bias
        config = {"model_cfg": self._config, "preprocess_cfg": self.image.preprocess_cfg}
        with atomic_write(folder / WEIGHTS) as new:
            save_file(state, new)
        (folder / FOLDER_CONFIG).write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
        return f"{SCHEME}{folder}"


class TextSide(nn.Module):
    """The text half of an open_clip model, which in CLIP's own form lies scattered over the model itself."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        for name, child in network.named_children():
            if name != "visual":
                self.add_module(name, child)
        for name, parameter in network.named_parameters(recurse=False):
            if not name.startswith("logit_"):
                self.register_parameter(name, parameter)
