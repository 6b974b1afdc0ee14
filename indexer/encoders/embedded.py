"""The shipped encoder and others of its form: a folder with `config.json`, `model.safetensors` and `tokenizer.json`.

`embedded` is the one in `data/models`; `embedded:/path/to/folder` is one fresh from `python -m training`. Here are the
towers that answer questions, in numpy; `embedded_image` is the image tower in torch, for indexing and training.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from indexer import shipped
from indexer.encoders.base import Encoder, PictureTower, Regions, unit_rows
from indexer.encoders.layers import MIDDLE, SCALE, BlockShape, ConvShape, Head, read_shape
from indexer.encoders.minilm import MiniLM, WordPieces, tokens
from indexer.encoders.weights import map_arrays
from indexer.errors import DescryError, EncoderUnavailable, first_line
from indexer.items import Float32Array, Int64Array

if TYPE_CHECKING:
    from PIL import Image

    from indexer.encoders.embedded_image import ImageTower
    from indexer.photos.preprocessing import Preprocessing

Made = TypeVar("Made")
Arrays = Mapping[str, npt.NDArray[Any]]

# What this code reads; a change of the file form that old code would misread raises it. Format 1 had a text transformer
# of its own.
FORMAT = 2

# The devices for which a query's photo is embedded in numpy; whoever names another one gets it.
LIGHT_ON = ("auto", "cpu")

CONFIG, WEIGHTS, TOKENIZER = "config.json", "model.safetensors", "tokenizer.json"

# The names of the transformer's arrays among those of the text tower, and of the head's.
TRANSFORMER, HEAD = "minilm.", "head."

# From so many photos at once on they go to torch: a full batch of `--queries-from`, which more may follow. Of one
# core's time (with AMX) importing torch and loading the model take 2.2 s more than this, then a photo 15 ms instead
# of 40: torch pays from 90 photos on.
MANY = 64


def load(name: str, *, device: str = "auto") -> Encoder:
    """The encoder `embedded` or `embedded:/path/to/folder`; its towers are read when they are first asked for.

    Raises `EncoderUnavailable` if the folder does not hold such an encoder.
    """
    folder = Path(name.partition(":")[2]) if ":" in name else shipped("models", "embedded")
    config = read_config(folder)
    with _readable(folder):
        dimension = config["dimension"]
        if dimension != config["image"]["dimension"]:
            raise ValueError(f"vectors of {dimension} and of {config['image']['dimension']} numbers")
        image = _refusing(folder, partial(_torch_image_tower, folder, config["image"], device))
        text = _refusing(folder, lambda: TextTower(folder / TOKENIZER, read_weights(folder, "text."), dimension))
        light = {"image": _refusing(folder, partial(_numpy_image_tower, folder, config["image"], image))}
        return Encoder(
            name=name,
            dimension=int(dimension),
            checksum=str(config["checksum"]),
            makers={"image": image, "text": text},
            light=light if device in LIGHT_ON else {},
        )


@contextmanager
def _readable(folder: Path) -> Iterator[None]:
    """Turns what damaged files of an encoder make json, numpy and torch raise into an `EncoderUnavailable`."""
    try:
        yield
    except (DescryError, ImportError):
        raise
    except Exception as error:  # a config of another build alone raises half a dozen kinds
        raise EncoderUnavailable(
            f"{folder}: its files are damaged or do not fit each other ({first_line(error)}); {_REMEDY}"
        ) from error


def _refusing(folder: Path, maker: Callable[[], Made]) -> Callable[[], Made]:
    def make() -> Made:
        with _readable(folder):
            return maker()

    return make


def read_config(folder: Path) -> dict[str, Any]:
    """What `config.json` of an encoder's folder says. Raises `EncoderUnavailable`."""
    missing = [name for name in (CONFIG, WEIGHTS, TOKENIZER) if not (folder / name).is_file()]
    if missing:
        raise EncoderUnavailable(f"{folder} holds no encoder ({missing[0]} is missing); {_REMEDY}")
    try:
        config: dict[str, Any] = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        form = config["format"]
    except (ValueError, KeyError, TypeError) as error:
        raise EncoderUnavailable(f"{folder / CONFIG} cannot be read ({error}); {_REMEDY}") from error
    if form != FORMAT:
        remedy = "train it anew" if isinstance(form, int) and form < FORMAT else "update Descry"
        raise EncoderUnavailable(f"{folder} is of format {form}, this Descry reads format {FORMAT}; {remedy}.")
    return config


_REMEDY = "install Descry again, or name the folder that `python -m training shipped` wrote."


def read_weights(folder: Path, prefix: str) -> dict[str, npt.NDArray[Any]]:
    """The arrays whose names begin with `prefix`, without it; the file is mapped, only these are read."""
    try:
        return map_arrays(folder / WEIGHTS, prefix)
    except (OSError, ValueError) as error:
        raise EncoderUnavailable(f"{folder / WEIGHTS} cannot be read ({error}); {_REMEDY}") from error


def _numpy_image_tower(folder: Path, config: dict[str, Any], torch_tower: Callable[[], ImageTower]) -> NumpyImageTower:
    model = ImageModel(read_shape(config["blocks"]), read_weights(folder, "image."), config["dimension"])
    return NumpyImageTower(_recipe(config), model, torch_tower)


def _torch_image_tower(folder: Path, config: dict[str, Any], device: str) -> ImageTower:
    # late: they import torch, which takes seconds and which a query does without
    import torch

    from indexer.encoders.devices import pick_device
    from indexer.encoders.embedded_image import ImageModel, ImageTower

    chosen = pick_device(device)
    model = ImageModel(read_shape(config["blocks"]), hidden=config["hidden"], dimension=config["dimension"])
    arrays = read_weights(folder, "image.")
    model.load_state_dict({name: torch.from_numpy(array.astype(np.float32)) for name, array in arrays.items()})
    return ImageTower(_recipe(config), model, chosen)


def _recipe(config: dict[str, Any]) -> Preprocessing:
    # late: it imports Pillow, which a search by sentence does without
    from indexer.photos.preprocessing import Preprocessing

    grey, unit = (0.5, 0.5, 0.5), (1.0, 1.0, 1.0)  # the model scales bytes itself
    return Preprocessing(config["size"], grey, unit, interpolation="bilinear", mode=config["mode"])


class TextTower:
    """Embeds sentences."""

    def __init__(self, tokenizer: Path, arrays: Mapping[str, npt.NDArray[Any]], dimension: int) -> None:
        """`arrays` by their names in the file, without `text.`. Raises `KeyError`, `ValueError`."""
        self._word_pieces = WordPieces(tokenizer)
        self._head = Head(_below(arrays, HEAD), dimension)
        self._transformer = transformer(_below(arrays, TRANSFORMER), self._head.width)

    def fits(self, value: str) -> bool:
        """Whether the sentence has no more tokens than the transformer's context."""
        return bool(len(self._word_pieces.encode(value)) + 2 <= self._transformer.context)  # [CLS] and [SEP]

    def is_whole(self, word: str) -> bool:
        """Whether a word is one piece of the vocabulary; of others the tower knows only the parts."""
        return self._word_pieces.is_whole(word)

    def prepare(self, value: str) -> Int64Array:
        """A sentence as token ids `[t]`; what is beyond the context is not seen."""
        return tokens(self._word_pieces, value, self._transformer.context)

    def embed(self, prepared: Sequence[npt.NDArray[Any]]) -> Float32Array:
        """Sentences as unit rows `[n, dim]`."""
        return unit_rows(self._head(self._transformer.encode(prepared)))


def transformer(arrays: Arrays, width: int) -> MiniLM:
    """The transformer in front of a head for `width` numbers: those of a sentence, or of its words beside it too.

    Raises `KeyError` or `ValueError` where its arrays are incomplete, or give another number.
    """
    model = MiniLM(arrays, words=width > arrays["pos"].shape[1])
    if model.outputs != width:
        raise ValueError(f"a head for {width} numbers, a transformer that gives {model.outputs}")
    return model


def _below(arrays: Mapping[str, npt.NDArray[Any]], prefix: str) -> dict[str, npt.NDArray[Any]]:
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}


class Convolution(NamedTuple):
    """One convolution; `weight` is `[outputs, k * k * inputs]`, or `[k, k, channels]` where each channel is alone."""

    shape: ConvShape
    weight: Float32Array
    bias: Float32Array

    @classmethod
    def of(cls, shape: ConvShape, weight: npt.NDArray[Any], bias: npt.NDArray[Any]) -> Convolution:
        """From torch's `weight` `[outputs, inputs / groups, k, k]`, of any float type. Raises `ValueError`."""
        if weight.shape != (shape.outputs, shape.inputs // shape.groups, shape.kernel, shape.kernel):
            raise ValueError(f"weights {weight.shape} for {shape}")
        if shape.groups not in (1, shape.inputs) or (shape.groups > 1 and shape.outputs != shape.inputs):
            raise ValueError(f"groups of channels in {shape}")
        if shape.groups > 1:
            alone = np.ascontiguousarray(weight[:, 0].transpose(1, 2, 0), np.float32)
            return cls(shape, alone, bias.astype(np.float32))
        rows = np.ascontiguousarray(weight.transpose(0, 2, 3, 1), np.float32).reshape(shape.outputs, -1)
        return cls(shape, rows, bias.astype(np.float32))

    def __call__(self, x: Float32Array) -> Float32Array:
        """`[h, w, inputs]` -> `[ceil(h / stride), ceil(w / stride), outputs]`."""
        y = self._alone(x) if self.shape.groups > 1 else self._together(x)
        y += self.bias
        return np.maximum(y, 0, out=y) if self.shape.relu else y

    def _together(self, x: Float32Array) -> Float32Array:
        """Every channel from all: the pixels under each place of the kernel side by side, times the weights."""
        kernel, stride = self.shape.kernel, self.shape.stride
        if kernel > 1 or stride > 1:
            windows = sliding_window_view(self._padded(x), (kernel, kernel), axis=(0, 1))[::stride, ::stride]
            x = windows.transpose(0, 1, 3, 4, 2)  # (h, w, inputs, k, k) -> (h, w, k, k, inputs)
        y: Float32Array = x.reshape(-1, self.weight.shape[1]) @ self.weight.T
        return y.reshape(*x.shape[:2], -1)

    def _alone(self, x: Float32Array) -> Float32Array:
        """Every channel from itself: the map shifted to each place of the kernel, weighed and summed."""
        kernel, stride = self.shape.kernel, self.shape.stride
        height, width = (-(-size // stride) for size in x.shape[:2])
        padded = self._padded(x)
        y = np.zeros((height, width, self.shape.outputs), np.float32)
        weighed = np.empty_like(y)
        for down, across in np.ndindex(kernel, kernel):
            shifted = padded[down : down + stride * height : stride, across : across + stride * width : stride]
            y += np.multiply(shifted[:height, :width], self.weight[down, across], out=weighed)
        return y

    def _padded(self, x: Float32Array) -> Float32Array:
        height, width = x.shape[:2]
        (top, bottom), (left, right) = self.shape.padding(height), self.shape.padding(width)
        padded = np.zeros((top + height + bottom, left + width + right, x.shape[2]), np.float32)
        padded[top : top + height, left : left + width] = x
        return padded


class ImageModel:
    """Trunk and head of the image tower, one photo at a time.

    The same arithmetic as `embedded_image.ImageModel`, to which a test holds it. A map of features is
    `[h, w, channels]`, so that a convolution is one product of two matrices.
    """

    def __init__(self, shape: Sequence[BlockShape], arrays: Arrays, dimension: int) -> None:
        """`arrays` by their names in the file, without `image.`. Raises `KeyError`, `ValueError`."""
        self._blocks: list[tuple[bool, list[Convolution]]] = []
        for row, block in enumerate(shape):
            names = [f"trunk.blocks.{row}.convs.{column}" for column in range(len(block.convs))]
            convs = [
                Convolution.of(conv, arrays[f"{name}.weight"], arrays[f"{name}.bias"])
                for conv, name in zip(block.convs, names, strict=True)
            ]
            self._blocks.append((block.residual, convs))
        self._head = Head(_below(arrays, HEAD), dimension)

    def __call__(self, photo: npt.NDArray[np.uint8]) -> Float32Array:
        """A photo `[3, s, s]` -> its vector `[dimension]`, not yet of unit length."""
        x = (photo.transpose(1, 2, 0).astype(np.float32) - np.float32(MIDDLE)) * np.float32(SCALE)
        for residual, convs in self._blocks:
            y = x
            for conv in convs:
                y = conv(y)
            x = y + x if residual else y
        vector: Float32Array = self._head(x.mean(axis=(0, 1))[np.newaxis])[0]
        return vector


class NumpyImageTower(PictureTower):
    """Embeds a photo or a few in numpy, and many, or parts of a photo, with the tower that `torch_tower` makes."""

    def __init__(self, recipe: Preprocessing, model: ImageModel, torch_tower: Callable[[], ImageTower]) -> None:
        self.recipe = recipe
        self._model = model
        self._torch_tower = cache(torch_tower)

    def regions(self, value: Image.Image) -> Regions:
        """What is in the parts of a picture; this needs torch."""
        return self._torch_tower().regions(value)

    def embed(self, prepared: Sequence[npt.NDArray[Any]]) -> Float32Array:
        """Prepared pictures as unit rows `[n, dim]`."""
        if len(prepared) >= MANY:
            return self._torch_tower().embed(prepared)
        return unit_rows(np.stack([self._model(photo) for photo in prepared]))
