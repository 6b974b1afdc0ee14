"""The shipped encoder, and others of its form, as a model that learns."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from indexer.encoders.embedded import TOKENIZER, read_config, read_weights
from indexer.encoders.embedded_image import Head, ImageModel
from indexer.encoders.embedded_shape import read_shape
from indexer.encoders.embedded_text import HEAD, TRANSFORMER
from indexer.encoders.minilm import MiniLM, tokens
from indexer.encoders.word_pieces import WordPieces
from indexer.errors import EncoderUnavailable
from indexer.photos.recipe import ImageRecipe
from indexer.shipped import shipped
from training.depthwise import use_matrix_depthwise
from training.export import pack, write_encoder
from training.models.base import Free, Similarity, free_last
from training.pairs import remembered


def load(name: str, *, random: bool) -> EmbeddedModel:
    """The model of the encoder `embedded` or `embedded:/path/to/folder`. Raises `EncoderUnavailable`."""
    folder = Path(name.partition(":")[2]) if ":" in name else shipped("models", "embedded")
    config = read_config(folder)
    try:
        model = EmbeddedModel(folder, config)
        if not random:
            model.load()
    except (RuntimeError, KeyError, TypeError, ValueError) as error:
        raise EncoderUnavailable(f"{folder}: weights and config do not fit each other; train it anew.") from error
    return model


class EmbeddedModel:
    """A small convolutional trunk with its head, and a head behind MiniLM's sentence vectors. A `Trainable`.

    The transformer itself stands still: training its last layers brought nothing, and each sentence goes through once.
    """

    similarity: Similarity | None = None  # the form has no place for it

    def __init__(self, folder: Path, config: dict[str, Any]) -> None:
        self._folder, image = folder, config["image"]
        self._blocks, self.dimension = read_shape(image["blocks"]), int(config["dimension"])
        grey, unit = (0.5, 0.5, 0.5), (1.0, 1.0, 1.0)  # the model scales bytes itself
        self.recipe = ImageRecipe(image["size"], grey, unit, "bilinear", image["mode"])
        self._arrays = read_weights(folder, "")
        beginning = f"text.{TRANSFORMER}"
        self._transformer = {k.removeprefix(beginning): v for k, v in self._arrays.items() if k.startswith(beginning)}
        self._minilm, self._pieces = MiniLM(self._transformer), WordPieces(folder / TOKENIZER)
        hidden, width = self._arrays[f"text.{HEAD}into.weight"].shape
        self.image: nn.Module = ImageModel(self._blocks, hidden=image["hidden"], dimension=self.dimension)
        self.text: nn.Module = Head(width, hidden, self.dimension)
        self.image.to(memory_format=torch.channels_last)
        if not torch.cuda.is_available():  # 224 px, 32 photos, bfloat16, one core: 1.7 s a step instead of 2.6
            use_matrix_depthwise(self.image)
        self.tokens = remembered(self._vectors)

    def load(self) -> None:
        """Takes the folder's weights."""
        for tower, prefix in ((self.image, "image."), (self.text, f"text.{HEAD}")):
            arrays = {k.removeprefix(prefix): v for k, v in self._arrays.items() if k.startswith(prefix)}
            tower.load_state_dict({name: torch.from_numpy(array.astype(np.float32)) for name, array in arrays.items()})

    def to(self, device: torch.device) -> None:
        """Moves both towers."""
        self.image.to(device)
        self.text.to(device)

    def free(self, *, image: Free, text: Free) -> None:
        """Groups are the trunk's blocks and the head; of the text tower the head is the only one."""
        self.image.requires_grad_(False)
        self.text.requires_grad_(False)
        trunk, head = self.image.get_submodule("trunk.blocks"), self.image.get_submodule("head")
        free_last([*trunk.children(), head], image)
        free_last([self.text], text)

    def _vectors(self, sentences: Sequence[str]) -> Tensor:
        """Sentences as what the text tower takes: the transformer's vectors `[n, width]`."""
        ids = [tokens(self._pieces, sentence, self._minilm.context) for sentence in sentences]
        return torch.from_numpy(self._minilm.encode(ids))

    def embed_photos(self, pixels: Tensor) -> Tensor:
        """Photos `[n, 3, size, size]` uint8 as unit rows `[n, dimension]`."""
        rows: Tensor = self.image(pixels)
        return rows

    def embed_sentences(self, ids: Tensor) -> Tensor:
        """What `tokens` gives as unit rows `[n, dimension]`."""
        return functional.normalize(self.text(ids).float(), dim=-1)

    def save(self, folder: Path, similarity: Similarity) -> str:  # noqa: ARG002  (the form has no place for it)
        """Writes the folder that `indexer.encoders.embedded` reads."""
        write_encoder(
            folder,
            pack(self.image.state_dict(), self.text.state_dict(), self._transformer),
            blocks=self._blocks,
            size=self.recipe.size,
            mode=self.recipe.mode,
            tokenizer=self._folder / TOKENIZER,
        )
        return f"embedded:{folder}"
