"""What is asked: a query is terms (sentences and photos, each with a weight) and what kind of thing is wanted."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from indexer.errors import QueryError
from search.filters import Filter
from search.orders import ORDERS

SIGNS = {"+": 1.0, "-": -1.0}

_SIGN = re.compile(r"(?:^|(?<=\s))([+-])(?=\s|$)")

# rclip's users know it: 2:cat. Before a digit it is a time of day or a ratio.
_WEIGHT = re.compile(r"(\d+(?:\.\d+)?|\.\d+):(?=[^\s\d])")


@dataclass(frozen=True, slots=True)
class Term:
    """A part of a query. `value` is a sentence, or the path of a file whose first item is meant."""

    modality: str
    value: str | Path
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Query:
    """What is looked for: the terms' vectors, weighed and added, among the items of the modality `wanted`.

    `k` is how many hits at most. A photo that is itself in the library leaves itself out of its own
    answer unless `include_self`. `filters` say what may be found at all, `sort` in which of `orders.ORDERS`
    the hits come. `words` is the question as it was put, if it was put in words.
    """

    terms: tuple[Term, ...]
    wanted: str = "image"
    k: int = 10
    include_self: bool = False
    filters: Sequence[Filter] = ()
    sort: str = "relevance"
    words: str = ""

    def __post_init__(self) -> None:
        if not self.terms:
            raise QueryError('The query is empty: say what to look for, as in `descry search "a dog on the beach"`.')
        if self.k < 1:
            raise QueryError(f"{self.k} results cannot be found: ask for at least 1.")
        if self.sort not in ORDERS:
            raise QueryError(f"Results cannot be sorted by {self.sort!r}: there are {', '.join(ORDERS)}.")


def parse(words: str | Sequence[str], **options: Any) -> Query:
    """A query from the words of a command line, or from one line; `options` are the other fields of `Query`.

    Words in a row are one sentence, `+` and `-` alone add and subtract the next term, a file of a known
    kind is what it shows, `2:` in front of a term weighs it. Raises `QueryError`.

    >>> parse(["beach", "-", "2:many", "people"]).terms
    (Term(modality='text', value='beach', weight=1.0), Term(modality='text', value='many people', weight=-2.0))
    """
    words = [words] if isinstance(words, str) else words
    pieces = [piece for word in words for piece in _split_signs(word)]
    return Query(tuple(_terms(pieces)), words=" ".join(words), **options)


def _split_signs(word: str) -> list[str]:
    """A quoted "beach - people" as its terms and signs; the name of a file may hold a dash and stays whole."""
    return [word] if _is_file(word) else [piece for piece in _SIGN.split(word) if piece.strip()]


def _terms(pieces: Iterable[str]) -> Iterator[Term]:
    sign = 1.0
    sentence: list[str] = []
    for piece in [*pieces, "+"]:  # the last sign closes the last sentence
        file = None if piece in SIGNS else _file_term(piece)
        if piece not in SIGNS and file is None:
            sentence.append(piece.strip())
            continue
        if text := " ".join(sentence).strip():
            weight, text = _split_weight(text)
            # a terminal may send bytes that are no text; tokenizers refuse what stands for them
            yield Term("text", text.encode(errors="replace").decode(), sign * weight)
        sentence = []
        if file is not None:
            yield replace(file, weight=sign * file.weight)
        sign = SIGNS.get(piece, 1.0)


def _split_weight(value: str) -> tuple[float, str]:
    match = _WEIGHT.match(value)
    return (float(match[1]), value[match.end() :]) if match else (1.0, value)


def _file_term(word: str) -> Term | None:
    """What the file of that name shows or says; None for what is just a word."""
    weight, name = _split_weight(word)
    if "." not in name or re.search(r"\s", Path(name).suffix):
        return None
    from indexer.modalities import modality_of  # late: most queries name no file and need no photo decoder

    modality = modality_of(name)
    if modality is None:
        return None
    if _is_file(name):
        return Term(modality.name, Path(name).expanduser(), weight)
    if modality.name == "image" or "/" in name:
        raise QueryError(f"There is no file {name}.")
    return None


def _is_file(name: str) -> bool:
    try:
        return Path(name).expanduser().is_file()
    except (OSError, ValueError, RuntimeError):  # too long for a name, a zero byte, "~nobody"
        return False


def like(path: Path, **options: Any) -> Query:
    """A query for what resembles the file at `path`; `options` are the other fields of `Query`.

    Raises `QueryError` if the file is not there.
    """
    term = _file_term(str(path))
    if term is None:
        problem = "is neither a photo nor a text, by its name" if path.exists() else "is not there"
        raise QueryError(f"{path} {problem}.")
    return Query((term,), words=str(path), **options)
