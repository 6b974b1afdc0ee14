"""The shipped encoder and others of its form: a folder with `config.json`, `model.safetensors` and `tokenizer.json`.

`embedded` is the one in `data/models`; `embedded:/path/to/folder` is one fresh from `python -m training`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt

from indexer.encoders.base import Encoder
from indexer.encoders.embedded_shape import read_shape
from indexer.encoders.embedded_text import TextTower
from indexer.encoders.weights import map_arrays
from indexer.errors import DescryError, EncoderUnavailable
from indexer.shipped import shipped

if TYPE_CHECKING:
    from indexer.encoders.embedded_image import ImageTower
    from indexer.encoders.embedded_image_numpy import LightImageTower
    from indexer.photos.recipe import ImageRecipe

Made = TypeVar("Made")

# What this code reads; a change of the file form that old code would misread raises it. Format 1 had a text transformer
# of its own.
FORMAT = 2

# The devices for which a query's photo is embedded in numpy; whoever names another one gets it.
LIGHT_ON = ("auto", "cpu")

CONFIG, WEIGHTS, TOKENIZER = "config.json", "model.safetensors", "tokenizer.json"


def load(name: str, *, device: str = "auto") -> Encoder:
    """The encoder `embedded` or `embedded:/path/to/folder`; its towers are read when they are first asked for.

    Raises `EncoderUnavailable` if the folder does not hold such an encoder.
    """
    folder = Path(name.partition(":")[2]) if ":" in name else shipped("models", "embedded")
    config = read_config(folder)
    with _readable(folder):
        heavy = _refusing(folder, partial(_image_tower, folder, config["image"], device))
        text = _refusing(folder, partial(_text_tower, folder))
        light = {"image": _refusing(folder, partial(_light_image_tower, folder, config["image"], heavy))}
        return Encoder(
            name=name,
            dimension=int(config["dimension"]),
            checksum=str(config["checksum"]),
            makers={"image": heavy, "text": text},
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
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
        raise EncoderUnavailable(f"{folder} holds no whole encoder ({reason}); {_REMEDY}") from error


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


def _text_tower(folder: Path) -> TextTower:
    try:
        return TextTower(folder / TOKENIZER, read_weights(folder, "text."))
    except (KeyError, ValueError) as error:
        raise EncoderUnavailable(f"{folder}: weights and tokenizer do not fit each other; {_REMEDY}") from error


def _light_image_tower(folder: Path, config: dict[str, Any], heavy: Callable[[], ImageTower]) -> LightImageTower:
    # Imported here because it imports Pillow, which a search by sentence does without.
    from indexer.encoders.embedded_image_numpy import ImageModel, LightImageTower

    try:
        model = ImageModel(read_shape(config["blocks"]), read_weights(folder, "image."))
    except (KeyError, ValueError) as error:
        raise EncoderUnavailable(f"{folder}: weights and config do not fit each other; {_REMEDY}") from error
    return LightImageTower(_recipe(config), model, heavy)


def _image_tower(folder: Path, config: dict[str, Any], device: str) -> ImageTower:
    # Imported here because they import torch, which takes seconds and which a query does without.
    import torch

    from indexer.encoders.devices import pick_device
    from indexer.encoders.embedded_image import ImageModel, ImageTower

    chosen = pick_device(device)
    model = ImageModel(read_shape(config["blocks"]), hidden=config["hidden"], dimension=config["dimension"])
    arrays = read_weights(folder, "image.")
    try:
        model.load_state_dict({name: torch.from_numpy(array.astype(np.float32)) for name, array in arrays.items()})
    except RuntimeError as error:
        raise EncoderUnavailable(f"{folder}: weights and config do not fit each other; {_REMEDY}") from error
    return ImageTower(_recipe(config), model, chosen)


def _recipe(config: dict[str, Any]) -> ImageRecipe:
    from indexer.photos.recipe import ImageRecipe

    grey, unit = (0.5, 0.5, 0.5), (1.0, 1.0, 1.0)  # the model scales bytes itself
    return ImageRecipe(config["size"], grey, unit, interpolation="bilinear", mode=config["mode"])
