"""Answers as a page: a contact sheet that holds its thumbnails, opens without a network and prints well."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from indexer.atomic import atomic_write, temporary_file, writing
from indexer.errors import PathError
from indexer.storage.files import shown
from search.hits import Hit
from search.present.formats import address_of, clock, facts_of, second
from search.present.sinks import Answer, Sink
from search.present.thumbnails import data_uri, thumbnails

if TYPE_CHECKING:
    from indexer.items import Item
    from search.organise.duplicates import Group

SUFFIXES = {".html", ".htm"}

# Pixels of a thumbnail's longer side: twice what a card shows, for the dense screens of phones and laptops.
THUMBNAIL = 480

# The beginning of a page, up to its first section; @title@ stands for the title.
HEAD = Path(__file__).with_name("sheet.html")

SECTION = '<h1>{title}<small>{note}</small></h1>\n<div class="sheet">\n'

CARD = """<figure{kind}>
<a class="picture" href="{address}" title="{place}">{image}</a>
<figcaption>{score}<b>{mark}</b> {name}{facts}</figcaption>
</figure>
"""

SCORE = '<span title="score: the cosine with the question">{:.3f}</span>'

FOOT = "</body>\n</html>\n"


class Sheet(Sink):
    """Writes the page as the answers come; it appears at its place when it is whole."""

    def __init__(self, value: Any, *, many: bool = False) -> None:
        """Raises `PathError` if `value` is no name for a page."""
        super().__init__(value, many=many)
        path = Path(value).expanduser()
        check_name(path)
        self._path = path.absolute()
        self._questions = self._photos = 0

    def __enter__(self) -> Sheet:
        """Begins the file, so that a place where it cannot be written is known before the search."""
        with writing(self._path):
            self._new = temporary_file(self._path.parent)
            self._file = self._new.open("w", encoding="utf-8", errors="backslashreplace")
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):  # what a full disk did not take was said before
            self._file.close()
        self._new.unlink(missing_ok=True)

    def take(self, answer: Answer) -> None:
        with writing(self._path):
            if not self._questions:
                self._file.write(_head(answer.question))
            self._file.writelines(_section(answer))
        self._questions += 1
        self._photos += len(answer.hits)

    def finish(self, made: list[Path]) -> str:
        if not self._questions:
            return ""
        with writing(self._path):
            self._file.write(FOOT)
            self._file.close()
            self._new.replace(self._path)
        made.append(self._path)
        return f"{self._path.name} shows {self._photos} of what was found, {self._path.stat().st_size / 1e6:.1f} MB"


def page(answer: Answer) -> Iterator[str]:
    """A page of one answer, piece by piece."""
    yield _head(answer.question)
    yield from _section(answer)
    yield FOOT


def _head(title: str) -> str:
    return HEAD.read_text(encoding="utf-8").replace("@title@", escape(title))


def check_name(path: Path) -> None:
    """Raises `PathError` unless `path` is a name for a page."""
    if path.suffix.lower() not in SUFFIXES:
        raise PathError(f"{path.name} is no name for a page: call it {path.with_suffix('.html').name}.")


def check_page(path: Path) -> None:
    """Raises `PathError` unless `path` is a name for a page, in a folder that is there."""
    check_name(path)
    if not path.absolute().parent.is_dir():
        raise PathError(f"There is no folder {path.absolute().parent} to write {path.name} into: make it first.")


def write_groups(path: Path, groups: Sequence[Group]) -> str:
    """Writes a page of duplicates, a group a row, the best in front and marked; a line that says so."""
    with writing(path), atomic_write(path.absolute()) as new, new.open("w", encoding="utf-8") as file:
        file.write(_head("Duplicates"))
        file.writelines(piece for number, group in enumerate(groups, start=1) for piece in _group(number, group))
        file.write(FOOT if groups else f"<h1>No duplicates</h1>\n{FOOT}")
    return f"{path.name} shows {len(groups)} groups, {path.stat().st_size / 1e6:.1f} MB"


def _group(number: int, group: Group) -> Iterator[str]:
    spare = sum(copy.item.facts["file_size"] for copy in group.others)
    yield SECTION.format(
        title=f"Group {number}", note=f"{len(group.others) + 1} photos, beside the best {_megabytes(spare)}"
    )
    photos = thumbnails([group.best, *(copy.item for copy in group.others)], THUMBNAIL)
    yield _card(Hit(group.best), "best", [], next(photos), kind="best")
    for copy, jpeg in zip(group.others, photos, strict=True):
        yield _card(Hit(copy.item), copy.reason, [copy.detail], jpeg)
    yield "</div>\n"


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB" if size >= 1e5 else f"{size / 1e3:.0f} kB"


def _section(answer: Answer) -> Iterator[str]:
    found = f"{len(answer.hits)} found" if answer.hits else "nothing found"
    yield SECTION.format(title=escape(answer.question), note=found)
    photos = thumbnails((hit.item for hit in answer.hits if not hit.item.text), THUMBNAIL)
    for rank, hit in enumerate(answer.hits, start=1):
        yield _card(hit, str(rank), _found(hit), None if hit.item.text else next(photos))
    yield "</div>\n"


def _card(hit: Hit, mark: str, notes: Iterable[str], jpeg: bytes | None, *, kind: str = "") -> str:
    """A photo or text under a mark: its rank, or what it is among duplicates."""
    path = hit.item.path
    return CARD.format(
        kind=f' class="{kind}"' if kind else "",
        address=escape(address_of(hit.item)),
        place=escape(shown(path)),
        image=_image(hit, jpeg),
        score="" if hit.score is None else SCORE.format(hit.score),
        mark=mark,
        name=escape(shown(path.name)),
        facts="".join(
            f"<small>{escape(shown(fact))}</small>" for fact in [*notes, *facts_of(hit.item), *_place(hit.item)]
        ),
    )


def _image(hit: Hit, jpeg: bytes | None) -> str:
    """The thumbnail, or what a text says, or why there is neither."""
    if hit.item.text:
        return f'<p class="says">{escape(hit.item.text)}</p>'
    if jpeg is None:
        return f"<p>{hit.unseen or 'it cannot be read now'}</p>"
    return f'<img src="{data_uri(jpeg)}" alt="{escape(hit.item.path.name)}" loading="lazy">'


def _found(hit: Hit) -> Iterator[str]:
    """What was asked for beside the score."""
    if (start := second(hit.item)) is not None:
        yield f"at {clock(start)}"
    if hit.probability is not None:
        yield f"fits with a probability of {hit.probability:.0%}"
    if hit.alike:
        yield f"{hit.alike} more alike"


def _place(item: Item) -> Iterator[str]:
    """The file's size and folder, and the id to go on with."""
    if item.facts.get("file_size"):
        yield _megabytes(item.facts["file_size"])
    yield str(item.path.parent)
    if item.id is not None:
        yield f"id:{item.id}"
