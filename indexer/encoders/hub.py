"""Published weights: found in the local cache, or fetched from the Hugging Face hub without ever hanging.

The hub's own client tries again for minutes when nothing answers. Here the hub is asked once, for a few
seconds, whether it has the file; only then does a download start, and that may take as long as it moves.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from indexer.errors import EncoderUnavailable

Answer = TypeVar("Answer")

# The names under which open_clip publishes weights, the one without code in it first.
WEIGHTS = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")

# Seconds in which the hub has to answer. A good answer takes well under one; importing torch before it
# takes up to eight on a busy machine, and the user is promised an answer within fifteen.
PATIENCE = 4.0


class _Late(Exception):
    """A time-out of ours, told from those of the client."""


def cached(repository: str, filenames: Sequence[str] = WEIGHTS) -> Path | None:
    """The first of these files of a hub repository that lies in the local cache; None if none does.

    Asks no network and imports no model code.
    """
    from huggingface_hub import try_to_load_from_cache

    for filename in filenames:
        path = try_to_load_from_cache(repository, filename)
        if isinstance(path, str) and Path(path).exists():
            return Path(path)
    return None


def fetch(repository: str, filenames: Sequence[str] = WEIGHTS, *, remedy: str) -> Path:
    """The first of these files that a hub repository has, from the local cache or downloaded into it.

    Raises `EncoderUnavailable`, ending in `remedy`, if the hub does not answer within `PATIENCE` seconds or
    does not give the file.
    """
    if (path := cached(repository, filenames)) is not None:
        return path
    from huggingface_hub import constants

    try:
        filename = _within(PATIENCE, lambda: _first_published(repository, filenames))
        return _download(repository, filename)
    except Exception as error:  # the client and the layers below it raise dozens of kinds
        place = constants.ENDPOINT
        raise EncoderUnavailable(
            f"{repository} could not be fetched from {place}: {_reason(error)}; {remedy}"
        ) from error


def _first_published(repository: str, filenames: Sequence[str]) -> str:
    """The first of the files that the hub has; its error if it has none or does not answer."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_url
    from huggingface_hub.errors import EntryNotFoundError

    missing: Exception | None = None
    for filename in filenames:
        try:
            get_hf_file_metadata(hf_hub_url(repository, filename), timeout=PATIENCE)
            return filename
        except EntryNotFoundError as error:
            missing = error
    raise missing or FileNotFoundError(repository)


def _download(repository: str, filename: str) -> Path:
    from huggingface_hub import hf_hub_download

    return Path(hf_hub_download(repository, filename))


def _within(seconds: float, call: Callable[[], Answer]) -> Answer:
    """The answer of a call, or `_Late`; on a thread of its own, for a name server's silence has no time-out."""
    answers: list[Answer] = []
    errors: list[Exception] = []

    def ask() -> None:
        try:
            answers.append(call())
        except Exception as error:
            errors.append(error)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(seconds)
    if errors:
        raise errors[0]
    if not answers:
        raise _Late
    return answers[0]


def _reason(error: Exception) -> str:
    """What went wrong, in a few words on one line."""
    from huggingface_hub import constants, errors

    if constants.is_offline_mode():
        return "HF_HUB_OFFLINE is set"
    match error:
        case _Late():
            return f"no answer within {PATIENCE:.0f} seconds"
        case errors.GatedRepoError():
            return "its owner asks for a login (hf auth login)"
        case errors.RepositoryNotFoundError():
            return "there is no such repository, or it is private"
        case errors.EntryNotFoundError():
            return "the repository has no weights in open_clip's form"
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]
