"""What is asked: a query is terms (sentences and photos, each with a weight) and what kind of thing is wanted."""

from __future__ import annotations

import re
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from indexer.errors import QueryError, reason_of
from search.filters import Filter

SIGNS = {"+": 1.0, "-": -1.0}

# The order of hits if no other is asked for: the best first.
BY_RELEVANCE = "relevance"

# The other orders, ascending; with a dash before them descending, as "-date" for the newest first.
ORDERS = ("date", "name", "path", "size")

# How strictly what does not fit is left out, the usual way in the middle.
STRICTNESS = ("loosely", "normally", "strictly")
NORMALLY = STRICTNESS[1]

# What is looked for if nothing else is asked: photos and shots of films, whose vectors one tower makes.
PICTURES = ("image", "video")

# The modality of a term that is an id: whatever the stored item is.
STORED = "stored"

# rclip's users know it: 2:cat. Before a digit it is a time of day or a ratio.
_WEIGHT = re.compile(r"(\d+(?:\.\d+)?|\.\d+):(?=[^\s\d])")

_ID = re.compile(r"id:(\d{1,18})")
_NAMED = re.compile(r"[+-]?(?:[\d.]+:)?id:(\S+)")

_URL = re.compile(r"\b[a-z][a-z0-9+.-]*://\S+", re.IGNORECASE)

# What a term may weigh: beyond that float32 has no numbers for the sums.
MOST_WEIGHT = 1e6

# What stands apart in a line of words: a sign alone ("beach - people"), a word or a quoted phrase with a sign
# ("beach -people"), an id. A dash before a number is a minus, and one inside a word is a hyphen.
_APART = r"""(?x)(?:^|(?<=\s))(?:
        (?P<alone>[+-])
      | (?P<sign>[+-])(?P<signed>(?:[\d.]+:)?(?:"[^"]+"|(?:[^\W\d]|\.{0,2}/|~)\S*))
      | (?P<whole>(?:[\d.]+:)?id:\d{1,18})
    )(?=\s|$)"""


def modalities_named(wanted: str | Sequence[str]) -> tuple[str, ...]:
    """Modalities by their names, or in one text with commas between.

    >>> modalities_named("image, video"), modalities_named(("text",))
    (('image', 'video'), ('text',))
    """
    return tuple(name.strip() for name in (wanted.split(",") if isinstance(wanted, str) else wanted))


class Order(NamedTuple):
    """One of `ORDERS`, and whether the greatest comes first."""

    name: str
    descending: bool

    @classmethod
    def of(cls, sort: str) -> Order:
        """The order that "date" or "-date" names. Raises `QueryError`, naming what there is."""
        name = sort.removeprefix("-")
        if sort == BY_RELEVANCE:
            raise QueryError(f"Only answers to a question are sorted by relevance; else there are {', '.join(ORDERS)}.")
        if name not in ORDERS:
            raise QueryError(
                f"Results cannot be sorted by {sort!r}: there are {BY_RELEVANCE}, {', '.join(ORDERS)}; a dash before "
                "one turns it round (-date: the newest first)."
            )
        return cls(name, sort.startswith("-"))


@dataclass(frozen=True, slots=True)
class Term:
    """A part of a query. `value` is a sentence, the path of a file whose first item is meant, or an item's id.

    Its `modality` says how a file is read and which tower embeds it; that of an id, whose vector is there, is `STORED`.
    """

    modality: str
    value: str | Path | int
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Query:
    """What is looked for: the terms' vectors, weighed and added, among the items of the modality `wanted`.

    `wanted` may be several modalities of one tower, whose cosines make one list; "image,video" is taken apart.
    Terms of negative weight are taken away: what resembles them pays a penalty (see `search.rerank`).
    `k` is how many hits at most. A photo that is itself in the library leaves itself out of its own
    answer unless `include_self`. `filters` say what may be found at all, `sort` in which of `ORDERS`
    the hits come, descending if a dash stands before it; every order but relevance takes only what fits.
    `best_of_each` scores an item by the term that it resembles most, instead of by the sum. `relevant` leaves out
    what does not fit, as strictly as `fits` says (one of `STRICTNESS`), and gives the others a probability, `unique`
    folds near-duplicates into their best, `diverse` prefers variety, `by_words` also looks the words up among names
    and texts, with None those that few hold, unless only what fits is wanted. `right` and `wrong` are ids of earlier
    hits that were marked so: the question is drawn to the ones and away from the others. `rerank` is a BLIP model, a
    folder or a name, that orders the first hundred hits by looking at words and photo together. `words` is the
    question as it was put, if it was put in words.
    """

    terms: tuple[Term, ...]
    wanted: tuple[str, ...] = PICTURES
    k: int = 10
    include_self: bool = False
    filters: Sequence[Filter] = ()
    sort: str = BY_RELEVANCE
    words: str = ""
    best_of_each: bool = False
    relevant: bool = False
    fits: str = NORMALLY
    unique: bool = False
    diverse: bool = False
    by_words: bool | None = False
    right: tuple[int, ...] = ()
    wrong: tuple[int, ...] = ()
    rerank: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "wanted", modalities_named(self.wanted))
        if not self.terms:
            raise QueryError(
                'The query is empty: say what to look for, as in `descry search "a dog on the beach"`; '
                "`descry list` shows photos without a question."
            )
        for term in self.terms:
            if not abs(term.weight) <= MOST_WEIGHT:
                raise QueryError(f"{term.value} cannot weigh {term.weight:g}: give a number up to {MOST_WEIGHT:g}.")
        if self.k < 1:
            raise QueryError(f"{self.k} results cannot be found: ask for at least 1.")
        if self.is_sorted:
            Order.of(self.sort)
        if self.fits not in STRICTNESS:
            raise QueryError(f"Nothing fits {self.fits!r}: it does {', '.join(STRICTNESS[:-1])} or {STRICTNESS[-1]}.")
        is_of_words = all(isinstance(term.value, str) for term in self.terms)
        has_aim = any(term.weight > 0 for term in self.terms)
        if self.rerank and (self.is_sorted or self.diverse or not is_of_words or not has_aim):
            raise QueryError(
                "Only what words look for, by relevance, can be re-ranked: leave out photos, ids, --sort and --diverse."
            )
        if self.best_of_each and all(term.weight <= 0 for term in self.terms):
            raise QueryError("The best of each needs something to look for beside what is taken away.")

    @property
    def takes_away(self) -> bool:
        """Whether something is wanted and something else is not."""
        return any(term.weight > 0 for term in self.terms) and any(term.weight < 0 for term in self.terms)

    @property
    def modality(self) -> str:
        """The modality of the terms that are wanted; "" if they are of several, or drawn to marked hits."""
        if self.right or self.wrong:
            return ""
        modalities = {term.modality for term in self.terms if term.weight > 0}
        return modalities.pop() if len(modalities) == 1 else ""

    @property
    def is_sorted(self) -> bool:
        """Whether another order than that of relevance is asked for."""
        return self.sort != BY_RELEVANCE

    @property
    def is_cut(self) -> bool:
        """Whether only what fits is wanted: of what does not, no other order makes sense."""
        return self.relevant or self.is_sorted


def parse(words: str | Sequence[str], *, files: bool = True, **options: Any) -> Query:
    """A query from the words of a command line, or from one line; `options` are the other fields of `Query`.

    Words in a row are one sentence, `+` and `-` alone add and subtract what follows, directly before a word only
    that word; quotes hold a phrase together. A file of a known kind is what it shows, `id:12` a stored item, `2:` in
    front of a term weighs it. Without `files` the disk is not asked, and the name of a file is words: for questions
    that come from elsewhere. Raises `QueryError`.

    >>> parse(["beach", "-", "2:many", "people"]).terms
    (Term(modality='text', value='beach', weight=1.0), Term(modality='text', value='many people', weight=-2.0))
    >>> parse("old red cars -people").terms
    (Term(modality='text', value='old red cars', weight=1.0), Term(modality='text', value='people', weight=-1.0))
    """
    words = [words] if isinstance(words, str) else words
    for word in words:
        _check(word, files=files)
    pieces = [piece for word in words for piece in _pieces(word.strip(), files=files)]
    return Query(tuple(_terms(pieces, files=files)), words=" ".join(words).strip(), **options)


def check_address(word: str) -> None:
    """Raises `QueryError` for an address, which is not fetched."""
    if url := _URL.search(word):
        raise QueryError(f"{url[0]} is not fetched, nor is any other address: save what is there, and give its path.")


def _check(word: str, *, files: bool) -> None:
    """Raises `QueryError` for what looks like a term and is none: an address, an id that is no number."""
    check_address(word)
    name = _NAMED.fullmatch(word.strip())
    if name and not _ID.fullmatch(f"id:{name[1]}") and not (files and _is_file(word)):
        raise QueryError(f"{name[1]!r} is no id: an id is a number, as in id:12, the last column of an answer.")


class _Piece(NamedTuple):
    """A part of a line: `kind` is "sign" (alone), "signed", "whole" or "words"."""

    kind: str
    text: str
    sign: float = 1.0


def _pieces(word: str, *, files: bool) -> Iterator[_Piece]:
    """A line taken apart at its signs, phrases and ids; the name of a file may hold a dash and stays whole."""
    if files and _is_file(_split_weight(word)[1]):
        yield _Piece("whole", word)
        return
    end = 0
    stands_apart = "+" in word or "-" in word or "id:" in word  # else no pattern is compiled: it takes a millisecond
    for match in re.finditer(_APART, word) if stands_apart else ():
        yield from _plain(word[end : match.start()])
        end = match.end()
        if match["alone"]:
            yield _Piece("sign", "", SIGNS[match["alone"]])
        elif match["sign"]:
            yield _Piece("signed", match["signed"], SIGNS[match["sign"]])
        else:
            yield _Piece("whole", match["whole"])
    yield from _plain(word[end:])


def _plain(text: str) -> Iterator[_Piece]:
    if text.strip():
        yield _Piece("words", text.strip())


def _terms(pieces: Iterable[_Piece], *, files: bool) -> Iterator[Term]:
    """The terms that pieces make: words in a row are one sentence, which a sign alone, a file or an id closes."""
    sign, sentence = 1.0, list[str]()
    beside = list[Term]()  # "-people" within a sentence, which goes on behind it
    for piece in [*pieces, _Piece("sign", "")]:  # the last sign closes the last sentence
        if piece.kind == "signed":
            beside.append(_term(piece.text, piece.sign, files=files))
            continue
        whole = _whole_term(piece, sign, files=files)
        if piece.kind != "sign" and whole is None:  # also where a file of no kind has that name
            sentence.append(piece.text)
            continue
        if sentence:
            yield _sentence(" ".join(sentence), sign)
        yield from beside
        sentence, beside = [], []
        if whole is not None:
            yield whole
        sign = piece.sign
    yield from beside


def _whole_term(piece: _Piece, sign: float, *, files: bool) -> Term | None:
    """The file or stored item that a piece is by itself; None for a sign and for words."""
    if piece.kind == "sign":
        return None
    return _stored_term(piece.text, sign) or (_file_term(piece.text, sign) if files else None)


def _term(text: str, sign: float, *, files: bool) -> Term:
    file = _file_term(text, sign) if files else None
    return _stored_term(text, sign) or file or _sentence(text, sign)


def _sentence(text: str, sign: float) -> Term:
    weight, text = _split_weight(text)
    if len(text) > 2 and text[0] == text[-1] == '"' and '"' not in text[1:-1]:
        text = text[1:-1]
    return Term("text", as_text(text), sign * weight)


def as_text(words: str) -> str:
    """Words without bytes that are no text, which a terminal may send and tokenizers refuse."""
    return words.encode(errors="replace").decode()


def _stored_term(text: str, sign: float = 1.0) -> Term | None:
    weight, name = _split_weight(text)
    match = _ID.fullmatch(name)
    return Term(STORED, int(match[1]), sign * weight) if match else None


def _split_weight(value: str) -> tuple[float, str]:
    match = _WEIGHT.match(value)
    return (float(match[1]), value[match.end() :]) if match else (1.0, value)


def _file_term(word: str, sign: float = 1.0) -> Term | None:
    """What the file of that name shows or says; None for what is just a word."""
    weight, name = _split_weight(word)
    if "." not in name or re.search(r"\s", Path(name).suffix):
        return None
    from indexer.modalities import modality_of  # late: most queries name no file and need no photo decoder

    modality = modality_of(name)
    if modality is None:
        return None
    if _is_file(name):
        return Term(modality.name, Path(name).expanduser(), sign * weight)
    if modality.name == "image" or "/" in name:
        raise QueryError(_no_file(name))
    return None


def _is_file(name: str) -> bool:
    try:
        return Path(name).expanduser().is_file()
    except (OSError, ValueError, RuntimeError):  # too long for a name, a zero byte, "~nobody"
        return False


def _no_file(name: str) -> str:
    """Why a file that is asked about by name cannot be."""
    try:
        mode = Path(name).expanduser().stat().st_mode
    except PermissionError as error:
        return f"{name} cannot be looked at ({reason_of(error)})."
    except (OSError, ValueError, RuntimeError):
        return f"There is no file {name}."
    if stat.S_ISDIR(mode):
        return f"{name} is a folder: name a photo or a text in it."
    from indexer.photos.suffixes import of_no_kind

    return f"{name} is {of_no_kind(Path(name).suffix)}."


def like(*things: Path | str | int, **options: Any) -> Query:
    """A query for what resembles files, or items of the library by their ids (12, "12" or "id:12").

    Several are one question, for what resembles all of them. `options` are the other fields of `Query`.
    Raises `QueryError` for a file that is not there.
    """
    terms = tuple(_like_term(str(thing)) for thing in things)
    if not terms:
        raise QueryError("Say which file to start from, or give many with --queries-from FILE.")
    return Query(terms, words=" ".join(map(str, things)), **options)


def _like_term(thing: str) -> Term:
    _check(thing, files=True)
    term = _stored_term(f"id:{thing}") or _stored_term(thing) or _file_term(thing)
    if term is None:
        raise QueryError(_no_file(thing))
    return term
