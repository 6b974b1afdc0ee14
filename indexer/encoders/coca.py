"""CoCa, by open_clip: a sentence for a photo, a token after the other.

Yu et al., "CoCa: Contrastive Captioners are Image-Text Foundation Models" (TMLR 2022). open_clip's own `generate` needs
a beam search that transformers had before version 5; here the likeliest token is taken each time, without transformers.
"""

from __future__ import annotations

from collections.abc import Sequence
from threading import Lock

import torch
from PIL import Image

from indexer.encoders.devices import pick_device, pick_dtype
from indexer.encoders.open_clip_model import Model, recipe_of
from indexer.encoders.open_clip_source import find
from indexer.encoders.resizing import TorchPreprocessing, channels_last
from indexer.errors import EncoderUnavailable

# The published model that is named where another one writes no sentences.
CAPTIONER = "open_clip:coca_ViT-B-32/mscoco_finetuned_laion2b_s13b_b90k"

# Tokens of a sentence with its start and end, at least and at most, as open_clip has them.
SHORTEST, LONGEST = 5, 30


class Captioner:
    """Says what photos show."""

    def __init__(self, name: str, device: str = "auto") -> None:
        source = find(name)
        self.name = source.name
        self._device = pick_device(device)
        model = Model(source, self._device, checksum="")
        if "multimodal_cfg" not in model.config or not hasattr(model.tokenizer, "eot_token_id"):
            raise EncoderUnavailable(f"{name} writes no sentences: give a CoCa model, as {CAPTIONER}.")
        self._network, self._tokenizer = model.network, model.tokenizer
        self._recipe = TorchPreprocessing.of(recipe_of(self._network, source.name))
        if self._device.type == "cuda":
            self._network.to(pick_dtype(self._device))
        self._turn = Lock()  # one batch takes all cores

    def __call__(self, photos: Sequence[Image.Image]) -> list[str]:
        """A sentence about each of some upright RGB photos, which go through the model together."""
        if not photos:
            return []
        with self._turn, torch.inference_mode():
            tokens = self._tokens(self._pixels(photos)).tolist()
        sentences = []
        for row in tokens:
            told = row[1 : row.index(self._tokenizer.eot_token_id)]
            sentences.append(self._tokenizer.decode(told).strip())
        return [sentence[:1].upper() + sentence[1:] for sentence in sentences]

    def _pixels(self, photos: Sequence[Image.Image]) -> torch.Tensor:
        """Photos as the network takes them, `[n, 3, size, size]`, scaled and normalised."""
        recipe, dtype = self._recipe, next(self._network.parameters()).dtype
        squares = channels_last([recipe.prepare(photo) for photo in photos]).to(self._device)
        mean, std = (torch.tensor(values, device=self._device).view(3, 1, 1) for values in (recipe.mean, recipe.std))
        return ((squares / 255 - mean) / std).to(dtype)

    def _tokens(self, pixels: torch.Tensor) -> torch.Tensor:
        """The likeliest tokens `[n, length]` for pictures `[n, 3, size, size]`: a start, an end, padding."""
        start, end = self._tokenizer.sot_token_id, self._tokenizer.eot_token_id
        latent, states = self._network._encode_image(pixels)
        tokens = torch.full((len(pixels), 1), start, device=self._device)
        has_ended = torch.zeros(len(pixels), dtype=torch.bool, device=self._device)
        while not has_ended.all():
            told = self._network(pixels, tokens, image_latent=latent, image_embs=states, output_labels=False)
            logits = told["logits"][:, -1].float()  # (n, vocabulary)
            if tokens.shape[1] < SHORTEST:
                logits[:, end] = -torch.inf
            chosen = logits.argmax(dim=1) if tokens.shape[1] + 1 < LONGEST else torch.full_like(tokens[:, 0], end)
            chosen = chosen.masked_fill(has_ended, self._network.pad_id)
            has_ended |= chosen == end
            tokens = torch.cat([tokens, chosen[:, None]], dim=1)
        return tokens


def load_captioner(name: str) -> Captioner:
    """The captioner of an open_clip model. Raises `EncoderUnavailable` and `UnknownEncoder`."""
    return Captioner(name)
