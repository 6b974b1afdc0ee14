"""The shipped encoder, and others of its form, as a model that learns."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from indexer.encoders.embedded import TOKENIZER, read_config, read_weights
from indexer.encoders.embedded_image import ImageModel
from indexer.encoders.embedded_shape import BlockShape, read_shape
from indexer.errors import EncoderUnavailable
from indexer.photos.recipe import ImageRecipe
from indexer.shipped import shipped
from training.depthwise import use_matrix_depthwise
from training.export import pack, write_encoder
from training.models.base import Free, Similarity, free_last
from training.text_model import TextModel, TextShape
from training.texts import Texts, padded


def load(name: str, *, random: bool) -> EmbeddedModel:
    """The model of the encoder `embedded` or `embedded:/path/to/folder`. Raises `EncoderUnavailable`."""
    folder = Path(name.partition(":")[2]) if ":" in name else shipped("models", "embedded")
    config = read_config(folder)
    try:
        model = EmbeddedModel(folder, config)
        if not random:
            model.load()
    except (RuntimeError, KeyError, TypeError) as error:
        raise EncoderUnavailable(f"{folder}: weights and config do not fit each other; train it anew.") from error
    return model


class EmbeddedModel:
    """A small convolutional trunk with its head, and a small text transformer. A `Trainable`."""

    similarity: Similarity | None = None  # the form has no place for it

    def __init__(self, folder: Path, config: dict[str, object]) -> None:
        self._folder = folder
        image: dict[str, object] = config["image"]  # type: ignore[assignment]
        self._blocks: tuple[BlockShape, ...] = read_shape(image["blocks"])  # type: ignore[arg-type]
        self._hidden, self.dimension = int(str(image["hidden"])), int(str(config["dimension"]))
        grey, unit = (0.5, 0.5, 0.5), (1.0, 1.0, 1.0)  # the model scales bytes itself
        self.recipe = ImageRecipe(int(str(image["size"])), grey, unit, "bilinear", str(image["mode"]))
        self._arrays = read_weights(folder, "")
        self._shape = self._text_shape(config["text"])  # type: ignore[arg-type]
        self.image: nn.Module = ImageModel(self._blocks, hidden=self._hidden, dimension=self.dimension)
        self.text: nn.Module = TextModel(self._shape)
        self._texts = Texts(folder / TOKENIZER, self._shape.context)
        self.image.to(memory_format=torch.channels_last)
        if not torch.cuda.is_available():  # 224 px, 32 photos, bfloat16, one core: 1.7 s a step instead of 2.6
            use_matrix_depthwise(self.image)

    def _text_shape(self, text: dict[str, int]) -> TextShape:
        tokens, token_width = self._arrays["text.table"].shape
        width = self._arrays["text.positions"].shape[1]
        return TextShape(tokens, token_width, width, text["layers"], text["heads"], text["context"], self.dimension)

    def load(self) -> None:
        """Takes the folder's weights; the token table, stored in int8, comes back in float32."""
        arrays = {name: torch.from_numpy(array.astype(np.float32)) for name, array in self._arrays.items()}
        arrays["text.table.weight"] = arrays.pop("text.table") * arrays.pop("text.table_scale")[:, None]
        for tower, prefix in ((self.image, "image."), (self.text, "text.")):
            tower.load_state_dict({k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)})

    def to(self, device: torch.device) -> None:
        """Moves both towers."""
        self.image.to(device)
        self.text.to(device)

    def free(self, *, image: Free, text: Free) -> None:
        """Groups are the trunk's blocks and the head, and the text transformer's layers and its way out."""
        self.image.requires_grad_(False)
        self.text.requires_grad_(False)
        trunk, head = self.image.get_submodule("trunk.blocks"), self.image.get_submodule("head")
        free_last([*trunk.children(), head], image)
        part = self.text.get_submodule
        first = nn.ModuleList([part("enter")])
        free_last(
            [first, *part("blocks").children(), nn.ModuleList([part("norm"), part("leave"), part("direct")])], text
        )
        self.text.get_parameter("positions").requires_grad_(text == "all")

    def tokens(self, sentences: Sequence[str]) -> Tensor:
        """Sentences as ids `[n, longest]`, -1 where there is no token."""
        return padded([self._texts.ids(sentence) for sentence in sentences])

    def embed_photos(self, pixels: Tensor) -> Tensor:
        """Photos `[n, 3, size, size]` uint8 as unit rows `[n, dimension]`."""
        rows: Tensor = self.image(pixels)
        return rows

    def embed_sentences(self, ids: Tensor) -> Tensor:
        """Ids as unit rows `[n, dimension]`."""
        rows: Tensor = self.text(ids)
        return rows

    def save(self, folder: Path, similarity: Similarity) -> str:  # noqa: ARG002  (the form has no place for it)
        """Writes the folder that `indexer.encoders.embedded` reads."""
        states = (
            {name: value.cpu() for name, value in tower.state_dict().items()} for tower in (self.image, self.text)
        )
        write_encoder(
            folder,
            pack(*states),
            blocks=self._blocks,
            hidden=self._hidden,
            size=self.recipe.size,
            text=self._shape,
            tokenizer=self._folder / TOKENIZER,
        )
        return f"embedded:{folder}"
