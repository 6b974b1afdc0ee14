"""What a library answers to the web: the one file of `search.web` that knows `indexer` and the rest of `search`.

Questions go through one thread, which owns the engine; those that come together are answered together. What only reads
the catalog takes one of a few open libraries. A library that was indexed, re-embedded or replaced meanwhile is noticed.
"""

from __future__ import annotations

import sqlite3
import tempfile
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from queue import Empty, LifoQueue
from stat import S_ISREG
from threading import BoundedSemaphore, Lock
from typing import Any, NamedTuple, TypeVar
from zlib import crc32

import numpy as np
import numpy.typing as npt

from indexer.backends import is_address
from indexer.encoders import Encoder
from indexer.errors import EncoderMismatch, LibraryError, QueryError
from indexer.items import Int64Array, Item
from indexer.library import CATALOG, Library
from indexer.modalities import open_image
from indexer.thumbnails import SIDES, draw
from search import matching
from search.engine import Engine
from search.filters import OTHER, Filter
from search.hits import Hit
from search.languages import advice
from search.organise.vocabulary import shipped_words
from search.present.formats import record, records
from search.present.heatmap import Heat, heats
from search.query import STORED, Query, Term, like, modalities_named, parse
from search.retrieval import RERANKED
from search.web.problems import Busy, Gone, NotHere
from search.web.schemas import ALL_PICTURES, SearchIn

# Questions that are answered together; how many may wait before the next one is told to come again.
TOGETHER = 32
WAITING = 256

# The same of questions whose answers are re-ranked, each of which may take minutes.
WAITING_FOR_RERANKING = 8

# Catalogs that are read at once: on a server, each is a connection.
READERS = 8

# Orders of items that are kept, 8 bytes an item.
ORDERS_KEPT = 8

# Shapes of photos in the grid, in 256ths of the height: what is longer is cut.
SHAPE_UNIT = 256
SHAPES = 0.25, 4.0

# What browsers show of what we read, by suffix; the viewer takes the large thumbnail of the others.
SHOWN = {
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".jpe": "image/jpeg",
    ".jfif": "image/jpeg",
    ".png": "image/png",
    ".webp": "image/webp",
    ".gif": "image/gif",
    ".avif": "image/avif",
    ".bmp": "image/bmp",
    ".mp4": "video/mp4",
    ".m4v": "video/mp4",
    ".mov": "video/quicktime",
    ".webm": "video/webm",
}

# Fields of a request that are fields of `Query`.
OPTIONS = ("k", "wanted", "sort", "relevant", "fits", "unique", "diverse", "by_words", "best_of_each", "include_self")

# Filters and words that are offered to who is writing.
FILTERS_OFFERED = 4
WORDS_OFFERED = 5

# Captions that are shown of a photo.
CAPTIONS_AT_MOST = 20

Value = TypeVar("Value")
Int32Array = npt.NDArray[np.int32]
Uint16Array = npt.NDArray[np.uint16]


class Content(NamedTuple):
    """The file of an item: the fingerprint of its part, whether it still is as it was when indexed, its time now."""

    item: Item
    fingerprint: bytes
    is_unchanged: bool
    mtime_ns: int
    is_there: bool = True


class Shapes(NamedTuple):
    """All photos by id, ascending: `ids` `[n]`, `days` `[n]` int32 as Julian day numbers, `aspects` `[n]` uint16."""

    ids: Int64Array
    days: Int32Array
    aspects: Uint16Array


class Answers(NamedTuple):
    """The hits of each of some queries, and what people are to be told of each."""

    hits: list[list[Hit]]
    notes: list[list[str]]


class Asker:
    """Answers questions on a thread of its own, which alone uses the engine.

    `together` of those that wait are answered together, `waiting` may wait; `stamp` changes when the library has become
    another one.
    """

    def __init__(
        self,
        opened: Callable[[], Engine],
        stamp: Callable[[], object],
        *,
        together: int = TOGETHER,
        waiting: int = WAITING,
    ) -> None:
        self._opened, self._stamp = opened, stamp
        self._together, self._at_most = together, waiting
        self._engine: Engine | None = None
        self._stamp_of_engine: object = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="descry-asker")
        self._waiting: deque[tuple[Sequence[Query], Future[Answers]]] = deque()

    def ask(self, *queries: Query) -> Future[Answers]:
        """The answers to queries of one state of the library, once it is their turn. Raises `Busy` if too many wait."""
        if len(self._waiting) >= self._at_most:
            raise Busy(f"{self._at_most} questions are waiting already: ask again in a moment.")
        future: Future[Answers] = Future()
        self._waiting.append((queries, future))
        self._thread.submit(self._work)
        return future

    def _work(self) -> None:
        """Answers what waits; the turns of those that were answered together find nothing more to do."""
        batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), self._together))]
        batch = [(queries, future) for queries, future in batch if future.set_running_or_notify_cancel()]
        try:
            together = self._answered([query for queries, _ in batch for query in queries])
        except Exception:  # one of them is to blame, and that one alone is told so
            for queries, future in batch:
                try:
                    future.set_result(self._answered(queries))
                except Exception as error:
                    future.set_exception(error)
            return
        each = zip(*together, strict=True)
        for queries, future in batch:
            hits, notes = zip(*islice(each, len(queries)), strict=True)
            future.set_result(Answers(list(hits), list(notes)))

    def _answered(self, queries: Sequence[Query]) -> Answers:
        """The answers; a library that has become another one meanwhile is opened anew."""
        try:
            return self._answers(queries)
        except (EncoderMismatch, LibraryError, sqlite3.Error):
            self._forget()
            return self._answers(queries)

    def _answers(self, queries: Sequence[Query]) -> Answers:
        if not queries:
            return Answers([], [])
        now = self._stamp()
        if self._engine is None or self._stamp_of_engine != now:
            self._forget()
            self._engine, self._stamp_of_engine = self._opened(), now
        hits = self._engine.search_many(queries)
        notes = [list(_notes(self._engine, query, own)) for query, own in zip(queries, hits, strict=True)]
        return Answers(hits, notes)

    def _forget(self) -> None:
        if self._engine is not None:
            self._engine.library.close()
            self._engine = None

    def close(self, *, wait: bool = True) -> None:
        """Ends the thread, and what waits with it; to `wait` is for the question that it answers now."""
        for _, future in self._waiting:
            future.cancel()
        self._thread.submit(self._forget)
        self._thread.shutdown(wait=wait)


class Service:
    """Answers about the library at `path`, re-ranked by the model `rerank` where that is asked for.

    Raises what `Library.open` raises, and `EncoderUnavailable` for a model that cannot be had.
    """

    def __init__(
        self, path: Path | str, *, encoder: Encoder | None = None, device: str = "auto", rerank: str = ""
    ) -> None:
        if rerank:
            matching.load_matcher(rerank)  # what is missing is said before anything is served
        self._rerank = rerank
        self.path = path if is_address(path) else Path(path).expanduser().absolute()
        self._encoder, self._device = encoder, device
        self._is_closed = False
        self._readers: LifoQueue[tuple[Engine, object]] = LifoQueue()
        self._kept: OrderedDict[object, Any] = OrderedDict()
        self._keeping = Lock()
        self._reading = BoundedSemaphore(READERS)
        with self.reading() as engine:
            self.name = f"{engine.library.path}"  # of an address what may be told
            self.thumbnails = engine.library.thumbnails()
        self._asker = Asker(self._opened, self._stamp)
        self._reranker = Asker(self._opened, self._stamp, together=1, waiting=WAITING_FOR_RERANKING)
        self._explaining = ThreadPoolExecutor(1, thread_name_prefix="descry-explain")
        self._seeing: tuple[Encoder, object] | None = None
        self._uploads = tempfile.TemporaryDirectory(prefix="descry-uploads-")

    def close(self) -> None:
        """Ends the threads and closes all that is open; a second time, it does nothing."""
        if self._is_closed:
            return
        self._is_closed = True
        self._asker.close()
        self._reranker.close(wait=False)  # what ends the server may be waiting, and the model takes minutes
        self._explaining.shutdown(wait=True, cancel_futures=True)
        with suppress(Empty):
            while True:
                self._readers.get_nowait()[0].library.close()
        self.thumbnails.close()
        self._uploads.cleanup()

    # the library, open

    def _stamp(self) -> object:
        """What tells the library from another one in its place; None where there is none."""
        if is_address(self.path):
            return self.path
        with suppress(OSError):
            status = Path(self.path, CATALOG).stat()
            return status.st_dev, status.st_ino
        return None

    def _opened(self) -> Engine:
        library = Library.open(self.path)
        try:
            return Engine(library, self._encoder, device=self._device)
        except BaseException:
            library.close()
            raise

    @contextmanager
    def reading(self) -> Iterator[Engine]:
        """An engine that nobody else uses meanwhile and that is asked no questions, only for one state of the items."""
        with self._reading:
            engine, stamp = self._taken()
            try:
                with engine.library.catalog.snapshot():
                    yield engine
            except (LibraryError, sqlite3.Error):
                engine.library.close()
                raise
            except BaseException:
                self._readers.put((engine, stamp))
                raise
            self._readers.put((engine, stamp))

    def _taken(self) -> tuple[Engine, object]:
        now = self._stamp()
        with suppress(Empty):
            while True:
                engine, stamp = self._readers.get_nowait()
                if stamp == now and engine.library.is_connected:
                    return engine, stamp
                engine.library.close()
        return self._opened(), now

    def _remembered(self, key: object, make: Callable[[], Value]) -> Value:
        """What `make` gives, kept for the next who asks with the same key."""
        with self._keeping:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]  # type: ignore[no-any-return]
        made = make()
        with self._keeping:
            self._kept[key] = made
            while len(self._kept) > ORDERS_KEPT:
                self._kept.popitem(last=False)
        return made

    # items without a question

    def revision(self) -> str:
        """What changes whenever the library does."""
        with self.reading() as engine:
            return f"{crc32(repr(self._stamp()).encode()):x}-{engine.library.catalog.revision}"

    def _listed(self, engine: Engine, wanted: str, filters: tuple[Filter, ...], sort: str) -> Int64Array:
        """The ids that pass the filters, in order. Raises `QueryError`."""
        key = (self._stamp(), engine.library.catalog.revision, wanted, filters, sort)
        return self._remembered(key, lambda: engine.listed(wanted, filters=filters, sort=sort))

    def page(
        self, *, wanted: str, filters: Sequence[Filter], sort: str, cursor: str | None, limit: int
    ) -> tuple[list[Item], int, str | None]:
        """A page of items, how many there are in all, and the cursor of the next page."""
        with self.reading() as engine:
            ids = self._listed(engine, wanted, tuple(filters), sort)
            first = _place(ids, cursor)
            chosen = ids[first : first + limit].tolist()
            end = first + len(chosen)
            following = f"{end}.{chosen[-1]}" if chosen and end < len(ids) else None
            return engine.library.catalog.items(chosen), len(ids), following

    def items(self, ids: Sequence[int]) -> list[Item]:
        """The items of those ids that there are, in their order."""
        with self.reading() as engine:
            return engine.library.catalog.items(ids)

    def grid(self, *, wanted: str, filters: Sequence[Filter], sort: str) -> bytes:
        """All items that pass the filters, in order, by what a grid needs to know of them; see `app`."""
        with self.reading() as engine:
            ids = self._listed(engine, wanted, tuple(filters), sort)
            shapes = self._shapes(engine.library, wanted)
            places = np.searchsorted(shapes.ids, ids)
            columns = (ids.astype("<u4"), shapes.days[places].astype("<i4"), shapes.aspects[places].astype("<u2"))
            return b"".join(column.tobytes() for column in columns)

    def _shapes(self, library: Library, wanted: str) -> Shapes:
        def read() -> Shapes:
            rows = library.catalog.listing.days_and_aspects(modalities_named(wanted))
            ids, days, aspects = (np.array([row[place] for row in rows]) for place in range(3))
            cut = np.clip(aspects.astype(np.float64), *SHAPES) * SHAPE_UNIT
            return Shapes(ids.astype(np.int64), days.astype(np.int32), cut.round().astype(np.uint16))

        return self._remembered((self._stamp(), library.catalog.revision, wanted, "shapes"), read)

    def facets(self, *, wanted: str, filters: Sequence[Filter]) -> tuple[int, dict[str, dict[str, int]]]:
        """How many items pass the filters, and how many of them there are by each value of each filter."""
        with self.reading() as engine:
            total = len(self._listed(engine, wanted, tuple(filters), "path"))
            key = (self._stamp(), engine.library.catalog.revision, wanted, tuple(filters), "facets")
            return total, self._remembered(key, lambda: engine.facets(wanted, filters=filters))

    def suggestions(self, text: str) -> list[dict[str, Any]]:
        """What a line that is being written may become: values of filters with their counts, and whole lines."""
        line, last = text, (text.split() or [""])[-1].casefold()
        if not last:
            return []
        _, counts = self.facets(wanted=ALL_PICTURES, filters=())
        offered: list[dict[str, Any]] = [
            {"field": field, "value": value, "count": count}
            for field, values in counts.items()
            for value, count in values.items()
            if last in (Path(value).name if field == "in" else value).casefold()
        ]
        head = line[: len(line.rstrip()) - len(last)]
        words = [word for word in shipped_words() if word.startswith(last) and word != last]
        return [
            *sorted(offered, key=lambda offer: -offer["count"])[:FILTERS_OFFERED],
            *({"field": "", "value": f"{head}{word}", "count": 0} for word in words[:WORDS_OFFERED]),
        ]

    def detail(self, id: int) -> tuple[Item, dict[str, float], list[str]]:
        """An item, its tags, and the captions of the library that speak of it. Raises `NotHere`."""
        with self.reading() as engine:
            item = _only(engine.library, id)
            catalog = engine.library.catalog
            return item, catalog.tags.of(id), catalog.listing.captions(item.path, most=CAPTIONS_AT_MOST)

    def content(self, id: int, *, is_needed: bool = True) -> Content:
        """The file of an item, which may not be there unless it `is_needed`. Raises `NotHere`, `Gone`."""
        with self.reading() as engine:
            item = _only(engine.library, id)
            file = engine.library.catalog.files_of([id])[id]
        fingerprint = file.fingerprint + item.part.encode() if file.fingerprint else b""
        with suppress(OSError):
            status = item.path.stat()
            if S_ISREG(status.st_mode):
                is_as_indexed = (status.st_size, status.st_mtime_ns) == (file.size, file.mtime_ns)
                return Content(item, fingerprint, is_as_indexed, status.st_mtime_ns)
        if is_needed:
            raise _gone(id)
        return Content(item, fingerprint, is_unchanged=False, mtime_ns=file.mtime_ns or 0, is_there=False)

    def thumbnail(self, content: Content, size: str) -> bytes:
        """The image of an item as a JPEG in one of `SIDES`. Raises `NotHere`, `Gone`, `SourceError`."""
        kept = self.thumbnails.get(content.fingerprint, size) if content.fingerprint else None
        if kept is not None:
            return kept
        if not content.is_there:
            raise _gone(content.item.id)
        if content.item.text:
            raise NotHere(f"Item {content.item.id} is {content.item.modality} and has no picture.")
        with open_image(content.item.path, content.item.part) as photo:
            drawn = draw(photo, SIDES[size])
        if content.fingerprint and content.is_unchanged:
            self.thumbnails.put(content.fingerprint, size, drawn)
        return drawn

    def sheet(self, items: Sequence[Item]) -> Iterator[str]:
        """A contact sheet of the items, piece by piece."""
        from search.present.sheet import page
        from search.present.sinks import Answer

        yield from page(Answer("Selected photos", [Hit.of(item) for item in items]))

    def tag(self, tag: str, ids: Sequence[int], *, remove: bool) -> dict[str, int]:
        """Gives items a tag, or takes it off; how many bear each tag then. Raises `LibraryLocked`, `LibraryError`."""
        if tag.strip().casefold() == OTHER:
            raise QueryError(f"{OTHER!r} is what photos without a tag are called: take another word.")
        with Library.open(self.path, readonly=False) as library, library.lock():
            (library.catalog.tags.take_off if remove else library.catalog.tags.add)(tag.strip(), ids)
            return library.catalog.tags.counts()

    def tags(self) -> dict[str, int]:
        """How many items bear each tag."""
        with self.reading() as engine:
            return engine.library.catalog.tags.counts()

    def status(self) -> dict[str, Any]:
        """What the library holds."""
        count, size = self.thumbnails.held()
        with self.reading() as engine:
            library, catalog = engine.library, engine.library.catalog
            return {
                "library": self.name,
                "version": version("descry"),
                "encoder": library.encoder_name,
                "reranker": Path(self._rerank).name,
                "revision": catalog.revision,
                "items": catalog.counts(),
                "size": library.size(),
                "failed": len(catalog.files.failures()),
                "thumbnails": {"count": count, "bytes": size},
                "folders": [{"path": str(root), "there": root.exists()} for root in catalog.files.roots()],
            }

    # questions

    def query(self, request: SearchIn, photos: Sequence[Path]) -> Query:
        """The query that a request means. No name in it is looked for on the disk. Raises `QueryError`."""
        terms = [] if not request.query.strip() else list(parse(request.query, files=False).terms)
        for term in request.terms:
            if term.photo is not None and term.photo >= len(photos):
                raise QueryError(f"There is no photo {term.photo}: {len(photos)} came with the question.")
            value: Any = photos[term.photo] if term.photo is not None else term.id or term.text
            modality = STORED if term.id else "image" if term.photo is not None else "text"
            terms.append(Term(modality, value, term.weight))
        options = {name: getattr(request, name) for name in OPTIONS}
        options |= {"right": tuple(request.right), "wrong": tuple(request.wrong)}
        if request.rerank and not self._rerank:
            raise QueryError("This server re-ranks no answers: `descry serve --rerank MODEL` does.")
        options["rerank"] = self._rerank if request.rerank else ""
        filters = tuple(Filter(one.field, one.value, one.negated) for one in request.filters)
        return Query(tuple(terms), filters=filters, words=request.query, **options)

    def ask(self, query: Query, *, judge: bool) -> Future[Answers]:
        """The answer to a query; with `judge`, behind it those of its hits that fit, with their probabilities.

        Re-ranking takes minutes where there is no GPU: it has a thread of its own, which holds up nobody else.
        """
        asker = self._reranker if query.rerank else self._asker
        if not judge:
            return asker.ask(query)
        k = max(query.k, RERANKED) if query.rerank else query.k  # any of those may have come among the first
        return asker.ask(query, replace(query, relevant=True, rerank="", k=k))

    def similar(self, id: int, *, k: int, wanted: str) -> Query:
        """The query for what resembles an item of the library. Raises `NotHere`."""
        with self.reading() as engine:
            _only(engine.library, id)
        return like(id, k=k, wanted=wanted)

    def explain(self, content: Content, sentence: str) -> Future[Heat]:
        """Where in a photo a sentence fits, on a thread of its own: the encoder for it is heavy to load."""
        return self._explaining.submit(self._heat, content.item, sentence)

    def _heat(self, item: Item, sentence: str) -> Heat:
        stamp = self._stamp()
        if self._seeing is None or self._seeing[1] != stamp:
            with self.reading() as engine:
                encoder = self._encoder or engine.library.encoder(device=self._device)
            self._seeing = encoder, stamp
        (heat,) = heats(self._seeing[0], item.path, [sentence], part=item.part)
        return heat

    @contextmanager
    def uploaded(self, contents: Sequence[bytes]) -> Iterator[list[Path]]:
        """Photos that came with a question, as files, as long as they are needed. Raises `QueryError`."""
        with tempfile.TemporaryDirectory(dir=self._uploads.name) as folder:
            paths = []
            for number, content in enumerate(contents):
                path = Path(folder, f"photo {number}")
                path.write_bytes(content)
                paths.append(path)
            try:
                yield paths
            except QueryError as error:  # where it lay is nobody's business
                raise QueryError(str(error).replace(f"{folder}/", "")) from error


def _gone(id: int | None) -> Gone:
    return Gone(f"The file of item {id} is not there now.")


def _only(library: Library, id: int) -> Item:
    items = library.catalog.items([id])
    if not items:
        raise NotHere(f"The library holds nothing under id {id}.")
    return items[0]


def _place(ids: Int64Array, cursor: str | None) -> int:
    """Where the page of a cursor begins: behind the item that was last, wherever that is now."""
    if cursor is None:
        return 0
    place, last = map(int, cursor.split("."))
    if 0 < place <= len(ids) and ids[place - 1] == last:
        return place
    found = np.flatnonzero(ids == last)
    return int(found[0]) + 1 if len(found) else min(place, len(ids))


def _notes(engine: Engine, query: Query, hits: Sequence[Hit]) -> Iterator[str]:
    """What the hits alone do not tell."""
    for words in engine.truncated(query):
        yield f"Only the beginning of this is understood: {words[:60]}…"
    if looked_up := engine.words_that_count(query):
        yield f"{_quoted(looked_up)}: looked up in names and captions too."
    elif strange := engine.not_understood(query):
        yield f"{_quoted(strange)}: the encoder cannot know this. A{advice()[1:]}."
    if engine.in_other_languages(query):
        yield "Read as another language than English."
    if matched := sum(hit.match is not None for hit in hits):
        yield f"Re-ranked: {Path(query.rerank).name} looked at {matched} of these together with the words."


def _quoted(words: Sequence[str]) -> str:
    return ", ".join(f"“{word}”" for word in words[:WORDS_OFFERED])


def found(answers: Answers) -> dict[str, Any]:
    """An answer as plain data: hits, how many of them fit if that was asked for, and what is to be said."""
    notes = answers.notes[0]
    hits, *judged = answers.hits
    if not judged:
        return {"hits": records(hits), "fits": None, "notes": notes}
    chances = {hit.id: hit.probability for hit in judged[0]}
    hits = [replace(hit, probability=chances.get(hit.id)) for hit in hits]
    fits: int | None = sum(hit.probability is not None for hit in hits)
    if hits and not fits:
        if hits[0].rank_score is not None:  # what its words find need not look like it
            fits = None
        elif not judged[0]:  # after re-ranking, what fits may stand behind these
            notes = [*notes, "Nothing fits; these are the nearest."]
    return {"hits": records(hits), "fits": fits, "notes": notes}


def item_record(item: Item) -> dict[str, Any]:
    """An item as plain data."""
    told = record(1, Hit.of(item))
    return {name: value for name, value in told.items() if name not in ("rank", "score")}
