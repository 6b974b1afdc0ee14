"""Texts: prose as passages that fit the encoder's context, captions as one item each.

Captions come from all the layouts of `indexer.modalities.caption_files`, and from a `.txt` beside a photo of its stem.
A caption's fact `photo` names its photo relative to the file's folder, so that the link survives when both move.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import chain, groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from indexer.errors import SourceError, reason_of
from indexer.items import Item
from indexer.modalities import image
from indexer.modalities.base import Modality, ReadOptions
from indexer.modalities.caption_files import PhotoFinder, folded, is_table, read_captions
from indexer.photos.suffixes import SUFFIXES
from indexer.texts import read_text

if TYPE_CHECKING:
    from markdown_it.token import Token

# Characters beyond which nothing is a passage, and nobody need ask the encoder: its context is a hundred words or so.
LONGEST_PASSAGE = 8192

# Characters of a markdown document that are parsed at once: its parser takes 500 times the memory.
PART, LARGEST_PART = 1 << 16, 1 << 18

# Characters of a document that are read as markdown, more than any book has; what comes behind is read as plain text.
# Its parser takes .2 to .7 s for a megabyte of prose, but 16 of "![![![", and nobody waits for that sixteen times.
LARGEST_MARKDOWN = 1 << 20

# Problems of one file that are named; the others are counted.
NAMED = 3

# Sentences end with a mark and a blank; full-width marks, and the quotes that close behind them, need none.
SENTENCE_ENDS = re.compile(r"(?<=[.!?…]\s)|(?<=[。！？])(?![。！？…」』”）\s])|(?<=[。！？][」』”）\s])")  # noqa: RUF001


def read(path: Path, options: ReadOptions) -> Iterator[tuple[Item, str]]:
    """The texts of a file, each with itself as the value to embed."""
    reader = READERS[path.suffix.lower()]
    try:
        for item in reader(path, options):
            yield item, item.text
    except OSError as error:
        raise SourceError(reason_of(error)) from error


def _prose(path: Path, options: ReadOptions) -> Iterator[Item]:
    photo = photo_beside(path)
    if photo is not None:
        said = ((" ".join(line.split()), photo.name) for line in read_text(path).splitlines())
        yield from _items(path, (caption for caption in said if caption[0]))
    elif path.suffix.lower() == ".txt" and is_table(path):
        yield from _captions(path, options)
    else:
        text = read_text(path)
        blocks = _blocks(text) if path.suffix.lower() == ".md" else [text]
        pieces = chain.from_iterable(passages(block, options.fits) for block in blocks)
        for number, passage in enumerate(pieces, start=1):
            yield Item("text", path, f"p{number}", passage)


def photo_beside(path: Path) -> Path | None:
    """The photo of the same stem in the same folder; None if there is none."""
    try:
        photos = _photos_by_stem(path.parent, path.parent.stat().st_mtime_ns)
    except OSError:  # a folder that may not be listed
        return None
    name = photos.get(path.stem) or photos.get(folded(path.stem))
    return path.with_name(name) if name else None


@lru_cache(maxsize=8)
def _photos_by_stem(folder: Path, _mtime_ns: int) -> dict[str, str]:
    """The names of a folder's photos by their stems, as they are and folded; the time tells whether it has changed."""
    names = sorted((path.name for path in folder.iterdir() if path.suffix.lower() in SUFFIXES), reverse=True)
    stems = [(name.rpartition(".")[0], name) for name in names]
    return {folded(stem): name for stem, name in stems} | dict(stems)


def _blocks(text: str) -> Iterator[str]:
    """What the blocks of a markdown document say (headings, paragraphs, items of lists), without marks and code."""
    from markdown_it import MarkdownIt  # late: 40 ms, and few libraries hold markdown

    parser = MarkdownIt("commonmark").disable("inline")  # block by block it takes a part of the memory
    references: dict[str, Any] = {}
    end = len(text) if len(text) <= LARGEST_MARKDOWN else text.rfind("\n", 0, LARGEST_MARKDOWN) + 1
    for block in chain.from_iterable(parser.parse(part, references) for part in _parts(text[:end])):
        if block.type == "inline":
            tokens: list[Token] = []
            parser.inline.parse(block.content, parser, references, tokens)
            yield "".join(_said(tokens))
        elif block.type == "html_block":  # what stands between the tags
            first, *others = block.content.split("<")
            yield " ".join([first, *(tag.partition(">")[2] for tag in others)])
        elif block.type == "code_block":
            yield block.content
    yield text[end:]


def _parts(text: str) -> Iterator[str]:
    """A markdown document in parts of bounded size, which end at blank lines outside of code where there are any."""
    part: list[str] = []
    size, is_code = 0, False
    lines = text.splitlines(keepends=True)
    for line in (whole[start : start + PART] for whole in lines for start in range(0, len(whole), PART)):
        part.append(line)
        size += len(line)
        is_code ^= line.lstrip().startswith(("```", "~~~"))
        if (size >= PART and not is_code and not line.strip()) or size >= LARGEST_PART or len(line) == PART:
            yield "".join(part)
            part, size = [], 0
    yield "".join(part)


def _said(tokens: Iterable[Token]) -> Iterator[str]:
    for token in tokens:
        if token.children:  # the words that stand for an image
            yield from _said(token.children)
        elif token.type in ("text", "code_inline"):
            yield token.content
        elif token.type in ("softbreak", "hardbreak"):
            yield " "


def passages(text: str, fits: Callable[[str], bool]) -> Iterator[str]:
    """Prose in pieces that fit: a paragraph if it does, else as many of its sentences, else of its words.

    A word that does not fit is cut. Takes time in step with the text, whatever it holds.

    >>> list(passages("One two. Three four.\\n\\nFive.", lambda piece: len(piece.split()) <= 2))
    ['One two.', 'Three four.', 'Five.']
    """
    for is_blank, lines in groupby(text.split("\n"), key=lambda line: not line.strip()):
        if not is_blank:
            yield from _pieces(" ".join(" ".join(lines).split()), fits)


def _pieces(paragraph: str, fits: Callable[[str], bool]) -> Iterator[str]:
    def is_passage(piece: str) -> bool:
        return len(piece) <= LONGEST_PASSAGE and fits(piece)

    for sentences in _packed([part for part in SENTENCE_ENDS.split(paragraph) if part], is_passage):
        if is_passage(sentences):
            yield sentences
        else:
            for words in _packed(re.findall(r"\S+ ?", sentences), is_passage):
                yield from _cut(words, is_passage)


def _packed(parts: Sequence[str], fits: Callable[[str], bool]) -> Iterator[str]:
    """Consecutive parts joined, as many as fit together; a part that alone is too long stays alone."""
    start, asked = 0, len(parts)
    while start < len(parts):  # as many as last time first, then more or fewer in steps that double
        fitting, beyond, step = 1, len(parts) - start + 1, 1
        asked = min(asked, beyond - 1)
        while fitting + 1 < beyond:
            if fits("".join(parts[start : start + asked]).strip()):
                fitting, asked = asked, asked + step
            else:
                beyond, asked = asked, asked - step
            step *= 2
            if not fitting < asked < beyond:
                asked = (fitting + beyond) // 2
        yield "".join(parts[start : start + fitting]).strip()
        start, asked = start + fitting, fitting


def _cut(words: str, fits: Callable[[str], bool]) -> Iterator[str]:
    """What fits as it is, else halves of it."""
    if len(words) < 2 or fits(words):
        yield words
        return
    middle = len(words) // 2
    yield from _cut(words[:middle], fits)
    yield from _cut(words[middle:], fits)


def _captions(path: Path, options: ReadOptions) -> Iterator[Item]:
    """The captions of a file of its own; of what is wrong in it, the first places are named."""
    problems: list[str] = []
    others = is_broken = 0

    def note(where: str, problem: str) -> None:
        nonlocal others, is_broken
        is_broken |= bool(where)
        if len(problems) < NAMED:
            place = where.replace(":", "line ", 1) if where[1:].isdigit() else where.removeprefix(":")
            problems.append(f"{place}: {problem}" if place else problem)
        else:
            others += 1

    photos = PhotoFinder(path)
    found = read_captions(path, note)
    said = ((text, one.photo and photos.relative(one.photo)) for one in found for text in one.captions)
    items = _items(path, said)
    first = next(items, None)
    if first:
        yield first
        yield from items
    if problems:
        told = "; ".join(problems) + (f"; and {others} more" if others else "")
        if is_broken and not first:
            raise SourceError(told)
        options.note(f"passed over {told}" if first else told)


def _items(path: Path, captions: Iterable[tuple[str, str | None]]) -> Iterator[Item]:
    for number, (text, photo) in enumerate(captions, start=1):
        yield Item("text", path, f"c{number}", text, {"photo": photo} if photo else {})


READERS: dict[str, Callable[[Path, ReadOptions], Iterator[Item]]] = {
    ".txt": _prose,
    ".md": _prose,
    ".jsonl": _captions,
    ".ndjson": _captions,
    ".json": _captions,
    ".csv": _captions,
    ".tsv": _captions,
    ".token": _captions,
}

TEXT = Modality("text", "text", frozenset(READERS), read, beside=frozenset({image.IMAGE.name}))
