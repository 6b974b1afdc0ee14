"""Where an open_clip model comes from: its name read, its weights found in a file or folder, or fetched from the hub.

Nothing is built here; whatever can be said against a name or a place is said before torch has to work. The hub's own
client tries again for minutes when nothing answers: here it is asked once, for a few seconds, whether it has the file;
only then does a download start, and that may take as long as it moves.
"""

from __future__ import annotations

import difflib
import logging
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

import xxhash

from indexer.errors import EncoderUnavailable, UnknownEncoder, first_line

Answer = TypeVar("Answer")

SCHEME = "open_clip:"
FOLDER_CONFIG = "open_clip_config.json"
CHECKPOINTS = (".safetensors", ".bin", ".pth", ".pt")

# The names under which open_clip publishes weights, the one without code in it first.
WEIGHTS = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")

# Seconds in which the hub has to answer. A good answer takes well under one; importing torch before it
# takes up to eight on a busy machine, and the user is promised an answer within fifteen.
PATIENCE = 4.0


@dataclass(frozen=True, slots=True)
class Source:
    """Where a model comes from: what open_clip calls it, and what it needs to be told beyond that.

    `files` are what the weights are read from; `checkpoint` is None for a folder, which names its own. `preprocess`
    holds what the published tag says about its pictures, by open_clip's names.
    """

    name: str
    architecture: str
    files: tuple[Path, ...]
    checkpoint: Path | None = None
    quick_gelu: bool = False
    preprocess: Mapping[str, Any] = field(default_factory=dict)


def find(name: str) -> Source:
    """Where the model of that name comes from, its files fetched if need be."""
    place = name.removeprefix(SCHEME)
    architecture, slash, weights = place.partition("/")
    if not place:
        raise UnknownEncoder(f"{name} names no model; `descry models` lists good choices.")
    if not architecture or architecture.startswith((".", "~")) or (Path(place) / FOLDER_CONFIG).is_file():
        return _in_folder(Path(place))
    if any(sign in weights for sign in "/.~\\"):  # tags are made of letters, digits and underscores
        return _in_file(architecture, Path(weights))
    return _published(architecture, weights if slash else "")


def _in_folder(folder: Path) -> Source:
    folder = folder.expanduser().resolve()
    if not (folder / FOLDER_CONFIG).is_file():
        raise EncoderUnavailable(
            f"{folder} holds no {FOLDER_CONFIG}; give a folder that open_clip saved, or {SCHEME}ARCH//path/to/weights."
        )
    weights = sorted(path for path in folder.iterdir() if path.suffix in CHECKPOINTS[:3])
    if not weights:
        raise EncoderUnavailable(f"{folder} holds no weights; put its open_clip_model.safetensors beside its config.")
    files = (folder / FOLDER_CONFIG, *weights)
    return Source(f"{SCHEME}{folder}", f"local-dir:{folder}", files)


def _in_file(architecture: str, checkpoint: Path) -> Source:
    _known_architecture(architecture)
    checkpoint = checkpoint.expanduser().resolve()
    if not checkpoint.is_file():
        raise EncoderUnavailable(f"There is no checkpoint {checkpoint}; give the path of {architecture}'s weights.")
    name = f"{SCHEME}{architecture}/{checkpoint}"
    return Source(name, architecture, (checkpoint,), checkpoint, preprocess=_usual_preprocess(architecture))


def _published(architecture: str, tag: str) -> Source:
    tags = _known_architecture(architecture)
    from open_clip.pretrained import get_pretrained_cfg

    published = get_pretrained_cfg(architecture, tag)
    if not published:
        raise UnknownEncoder(_unknown_tag(architecture, tag, tags))
    repository, _, filename = published["hf_hub"].rpartition("/")
    remedy = f"give a local checkpoint with {SCHEME}{architecture}//path, or try again with a network."
    checkpoint = fetch(repository, (filename,) if filename else WEIGHTS, remedy=remedy)
    return Source(
        f"{SCHEME}{architecture}/{tag}",
        architecture,
        (checkpoint,),
        checkpoint,
        # Weights trained with QuickGELU are worth little with GELU; open_clip itself only warns.
        quick_gelu=published.get("quick_gelu", False),
        preprocess=published,
    )


def _known_architecture(architecture: str) -> list[str]:
    """The published tags of an architecture, all that its text side needs being here or fetched.

    Raises `UnknownEncoder` if open_clip has none of that name.
    """
    with quiet():
        import open_clip
    known = open_clip.list_models()
    if architecture not in known:
        raise UnknownEncoder(
            f"open_clip knows no architecture {architecture!r}{_near(architecture, known)};"
            " `descry models` lists good choices."
        )
    _fetch_text_side(architecture, open_clip.get_model_config(architecture)["text_cfg"])
    tags: list[str] = open_clip.list_pretrained_tags_by_model(architecture)
    return tags


def _fetch_text_side(architecture: str, text: Mapping[str, Any]) -> None:
    """Fetches the foreign tokenizer and text model that some architectures are built on, before their weights."""
    needed = {
        "hf_tokenizer_name": ("tokenizer.json", "tokenizer_config.json"),
        "hf_model_name": ("config.json",),
    }
    names = {key: text[key] for key in needed if text.get(key)}
    if names and find_spec("transformers") is None:
        raise EncoderUnavailable(f"{architecture} needs an extra: pip install 'descry[multilingual]'.")
    for key, name in names.items():
        fetch(name, needed[key], remedy="try again with a network.")


def _unknown_tag(architecture: str, tag: str, tags: Sequence[str]) -> str:
    local = f"give a local checkpoint with {SCHEME}{architecture}//path"
    if not tags:
        return f"No weights of {architecture} are published; {local}."
    choices = f"{SCHEME}{architecture}/TAG with one of {', '.join(tags)}"
    if not tag:
        return f"{architecture} alone names no weights; choose {choices}, or {local}."
    return f"{architecture} has no weights {tag!r}{_near(tag, tags)}; choose {choices}, or {local}."


def _near(word: str, words: Sequence[str]) -> str:
    by_lower_case = {one.lower(): one for one in words}
    near = difflib.get_close_matches(word.lower(), by_lower_case, n=3, cutoff=0.5)
    return f" (near: {', '.join(by_lower_case[one] for one in near)})" if near else ""


def _usual_preprocess(architecture: str) -> Mapping[str, Any]:
    """How pictures are prepared for an architecture, if all its published weights agree; else open_clip's default."""
    import open_clip
    from open_clip.pretrained import get_pretrained_cfg

    keys = ("mean", "std", "interpolation", "resize_mode")
    tags = open_clip.list_pretrained_tags_by_model(architecture)
    usual = [{key: get_pretrained_cfg(architecture, tag)[key] for key in keys} for tag in tags]
    return usual[0] if usual and all(one == usual[0] for one in usual) else {}


def checksum_of(files: Sequence[Path]) -> str:
    """A hash of the bytes of the files, 32 hexadecimal digits: the same wherever they lie."""
    digest = xxhash.xxh3_128()
    for path in files:
        try:
            with path.open("rb") as file:
                while block := file.read(1 << 22):
                    digest.update(block)
        except OSError as error:
            raise EncoderUnavailable(f"{path} cannot be read ({error.strerror}); see to its permissions.") from error
    return digest.hexdigest()


@contextmanager
def quiet() -> Iterator[None]:
    """Keeps open_clip and what it imports from talking: it logs and warns through the whole process' channels.

    The handler is there because `logging.info`, finding none, would install one that stays.
    """
    root, silent, disabled = logging.getLogger(), logging.NullHandler(), logging.root.manager.disable
    root.addHandler(silent)
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)
        root.removeHandler(silent)


def cached(repository: str, filenames: Sequence[str] = WEIGHTS) -> Path | None:
    """The first of these files of a hub repository that lies in the local cache; None if none does."""
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
    from huggingface_hub import constants, hf_hub_download

    try:
        published = _within(PATIENCE, lambda: _first_published(repository, filenames))
        return Path(hf_hub_download(repository, published))
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


def _within(seconds: float, call: Callable[[], Answer]) -> Answer:
    """The answer of a call, or `TimeoutError`; on a thread of its own, for a name server's silence has no time-out."""
    outcome: Future[Answer] = Future()

    def ask() -> None:
        try:
            outcome.set_result(call())
        except Exception as error:
            outcome.set_exception(error)

    threading.Thread(target=ask, daemon=True).start()
    return outcome.result(seconds)


def _reason(error: Exception) -> str:
    """What went wrong, in a few words on one line."""
    from huggingface_hub import constants, errors

    if constants.is_offline_mode():
        return "HF_HUB_OFFLINE is set"
    match error:
        case TimeoutError():
            return f"no answer within {PATIENCE:.0f} seconds"
        case errors.GatedRepoError():
            return "its owner asks for a login (hf auth login)"
        case errors.RepositoryNotFoundError():
            return "there is no such repository, or it is private"
        case errors.EntryNotFoundError():
            return "the repository has no weights in open_clip's form"
    return first_line(error)
