"""What is asked: a query is terms (sentences and photos, each with a weight) and what kind of thing is wanted."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from indexer.errors import QueryError

SIGNS = {"+": 1.0, "-": -1.0}

# rclip's users know it: 2:cat
_WEIGHT = re.compile(r"(\d+(?:\.\d+)?|\.\d+):(?=\S)")


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
    answer unless `include_self`. `words` is the question as it was put, if it was put in words.
    """

    terms: tuple[Term, ...]
    wanted: str = "image"
    k: int = 10
    include_self: bool = False
    words: str = ""

    def __post_init__(self) -> None:
        if not self.terms:
            raise QueryError('The query is empty: say what to look for, as in `descry search "a dog on the beach"`.')
        if self.k < 1:
            raise QueryError(f"{self.k} results cannot be found: ask for at least 1.")


def parse(words: str | Sequence[str], *, wanted: str = "image", k: int = 10, include_self: bool = False) -> Query:
    """A query from the words of a command line, or from one line.

    Words in a row are one sentence, `+` and `-` alone add and subtract the next term, a file of a known
    kind is what it shows, `2:` in front of a term weighs it. Raises `QueryError`.

    >>> parse(["beach", "-", "2:many", "people"]).terms
    (Term(modality='text', value='beach', weight=1.0), Term(modality='text', value='many people', weight=-2.0))
    """
    if isinstance(words, str):
        words = words.split(" ") if any(f" {sign} " in words for sign in SIGNS) else [words]
    return Query(tuple(_terms(words)), wanted, k, include_self, " ".join(words))


def _terms(words: Iterable[str]) -> Iterable[Term]:
    sign = 1.0
    sentence: list[str] = []
    for word in [*words, "+"]:  # the last sign closes the last sentence
        path = None if word in SIGNS else _file(word)
        if path is None and word not in SIGNS:
            sentence.append(word)
            continue
        if text := " ".join(sentence).strip():
            yield _weighed("text", text, sign)
        sentence = []
        if path is not None:
            yield _weighed(path[0], path[1], sign)
        sign = SIGNS.get(word, 1.0)


def _weighed(modality: str, value: str, sign: float) -> Term:
    weight, value = _split_weight(value)
    if modality == "text":
        return Term(modality, value, sign * weight)
    return Term(modality, Path(value).expanduser(), sign * weight)


def _split_weight(value: str) -> tuple[float, str]:
    match = _WEIGHT.match(value)
    return (float(match[1]), value[match.end() :]) if match else (1.0, value)


def _file(word: str) -> tuple[str, str] | None:
    """The modality of the file that the word names, and the word; None for what is just a word."""
    name = _split_weight(word)[1]
    if "." not in name or re.search(r"\s", Path(name).suffix):
        return None
    from indexer.modalities import modality_of  # late: most queries name no file and need no photo decoder

    modality = modality_of(name)
    if modality is None:
        return None
    if Path(name).expanduser().is_file():
        return modality.name, word
    if modality.name == "image" or "/" in name:
        raise QueryError(f"There is no file {name}: to search for its name as words, leave out the suffix.")
    return None


def like(path: Path, *, wanted: str = "image", k: int = 10, include_self: bool = False) -> Query:
    """A query for what resembles the file at `path`. Raises `QueryError` if it is not there."""
    name = str(path)
    file = _file(name)
    if file is None:
        problem = "is neither a photo nor a text, by its name" if path.exists() else "is not there"
        raise QueryError(f"{path} {problem}.")
    return Query((Term(file[0], path.expanduser()),), wanted, k, include_self, name)
