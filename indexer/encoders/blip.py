"""BLIP, by transformers: a sentence for a photo, and how well a sentence and a photo match when both are looked at.

Li, Li, Xiong and Hoi, "BLIP: Bootstrapping Language-Image Pre-training" (ICML 2022).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from indexer.encoders.open_clip_source import fetch
from indexer.errors import EncoderUnavailable, first_line
from indexer.storage.files import as_stored

if TYPE_CHECKING:
    import torch
    from PIL import Image

# Models on the hub, 1 GB each: Flickr8k and COCO are what both have seen.
CAPTIONER, MATCHER = "Salesforce/blip-image-captioning-base", "Salesforce/blip-itm-base-coco"

# Beams of a caption and its words at most, as BLIP's authors have them for COCO.
BEAMS, LONGEST = 3, 30

# Photos that go through a model together on a CPU; a GPU takes all that it is given, a batch of `indexer.pipeline`.
# One core, BLIP's usual size with random weights, captions of 12 tokens, two interleaved runs: 1.96 and 1.74 CPU
# seconds a photo one by one, 1.45 and 1.22 eight at once.
AT_ONCE = 8


class Captioner:
    """Says what photos show."""

    def __init__(self, name: str, device: str = "auto") -> None:
        self._model, self._processor, self.name = _loaded("BlipForConditionalGeneration", name, device)
        self._turn = Lock()  # one batch takes all cores

    def __call__(self, photos: Sequence[Image.Image]) -> list[str]:
        """A sentence about each of some upright RGB photos; "" where the model has none."""
        sentences: list[str] = []
        for piece in _pieces(photos, self._model.device):
            with self._turn, _inference():
                asked = self._processor(images=piece, return_tensors="pt").to(self._model.device, self._model.dtype)
                told = self._model.generate(**asked, num_beams=BEAMS, max_new_tokens=LONGEST)
            sentences += map(str.strip, self._processor.batch_decode(told, skip_special_tokens=True))
        return [sentence[:1].upper() + sentence[1:] for sentence in sentences]


class Matcher:
    """Says how well photos match a sentence, by the head that looks at both together."""

    def __init__(self, name: str, device: str = "auto") -> None:
        self._model, self._processor, self.name = _loaded("BlipForImageTextRetrieval", name, device)
        self.side = int(self._model.config.vision_config.image_size)
        self._longest = int(self._model.config.text_config.max_position_embeddings)

    def __call__(self, sentence: str, photos: Sequence[Image.Image]) -> list[float]:
        """The probability that each of some upright RGB photos matches."""
        probabilities: list[float] = []
        for piece in _pieces(photos, self._model.device):
            words = {"truncation": True, "max_length": self._longest}
            with _inference():
                asked = self._processor(images=piece, text=[sentence] * len(piece), return_tensors="pt", **words)
                told = self._model(**asked.to(self._model.device, self._model.dtype)).itm_score
            probabilities += told.float().softmax(dim=1)[:, 1].tolist()  # (n, 2): no match, match
        return probabilities


def load_captioner(name: str) -> Captioner:
    """The captioner of a folder or a name on the hub. Raises `EncoderUnavailable`, naming what is missing."""
    return Captioner(name or CAPTIONER)


@lru_cache(1)
def load_matcher(name: str) -> Matcher:
    """The matcher of a folder or a name on the hub. Raises `EncoderUnavailable`, naming what is missing."""
    return Matcher(name or MATCHER)


def _pieces(photos: Sequence[Image.Image], device: torch.device) -> Iterator[list[Image.Image]]:
    at_once = AT_ONCE if device.type == "cpu" else max(len(photos), 1)
    for start in range(0, len(photos), at_once):
        yield list(photos[start : start + at_once])


def _loaded(kind: str, name: str, device: str) -> tuple[Any, Any, str]:
    """A model of one of transformers' classes, whole, what prepares photos and words for it, and its full name."""
    if not find_spec("transformers"):
        raise EncoderUnavailable(f"The BLIP model {name} needs the package transformers: pip install 'descry[blip]'.")
    place = Path(name).expanduser()
    if not place.is_dir():
        fetch(name, ("config.json",), remedy="or give the folder of a BLIP model.")
    import transformers

    from indexer.encoders.devices import pick_device, pick_dtype

    source, chosen = str(as_stored(place)) if place.is_dir() else name, pick_device(device)
    try:
        with _quiet():
            config = transformers.PretrainedConfig.get_config_dict(source)[0]
            if config.get("model_type") != "blip":
                raise ValueError(f"its type is {config.get('model_type')!r}")
            model, told = getattr(transformers, kind).from_pretrained(source, output_loading_info=True)
            processor = transformers.BlipProcessor.from_pretrained(source)
    except (OSError, ValueError, RuntimeError) as error:
        raise EncoderUnavailable(f"{name} is no BLIP model that can be used: {first_line(error)}.") from error
    if missing := sorted(told["missing_keys"]):
        raise EncoderUnavailable(f"{name} is a BLIP model for something else: it lacks {missing[0]}.")
    return model.eval().requires_grad_(False).to(chosen, pick_dtype(chosen)), processor, source


@contextmanager
def _inference() -> Iterator[None]:
    import torch

    with torch.inference_mode():
        yield


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the progress bars and advice of transformers."""
    from transformers.utils import logging

    verbosity, has_bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if has_bars:
            logging.enable_progress_bar()  # type: ignore[no-untyped-call]
