"""The whole library at a glance: groups, the map, duplicates. Each takes seconds or minutes, once for a state of it.

The work is done on one thread, and goes on when whoever asked for it has given up: the next one finds it done.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock
from typing import Any

from search.engine import Engine
from search.organise import groups as grouping
from search.organise.duplicates import KINDS, Group, duplicates
from search.organise.map import layout, sample
from search.organise.vocabulary import vocabulary
from search.web.service import Service, item_record

# Ids that are told of a group.
MEMBERS_AT_MOST = 10_000


class Overview:
    """Groups, map and duplicates of a service's library."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="descry-overview")
        self._lock = Lock()
        self._known: dict[object, tuple[str, Future[Any]]] = {}

    def groups(self, number: int | None) -> Future[list[dict[str, Any]]]:
        """The photos in groups of what is alike, the largest first, each with a name and its ids."""

        def found(engine: Engine) -> list[dict[str, Any]]:
            return [
                {"name": group.name, "photos": len(group.ids), "ids": group.ids[:MEMBERS_AT_MOST].tolist()}
                for group in grouping.groups_of(engine.library, engine.encoder, number)
            ]

        return self._once(("groups", number), found)

    def map(self) -> Future[dict[str, Any]]:
        """Where photos lie by likeness, in 0..1, of many a sample; and the names of their groups."""

        def found(engine: Engine) -> dict[str, Any]:
            vectors = grouping.all_vectors(engine.library)
            groups = grouping.groups(vectors, vocabulary(engine.library, engine.encoder))
            group_of = {id: place for place, group in enumerate(groups) for id in group.ids.tolist()}
            chosen = sample(vectors)
            places = layout(chosen.rows).round(5).tolist()
            spots = [[id, x, y, group_of[id]] for id, (x, y) in zip(chosen.ids.tolist(), places, strict=True)]
            return {"photos": spots, "groups": [group.name for group in groups]}

        return self._once("map", found)

    def duplicates(self) -> Future[list[dict[str, Any]]]:
        """Photos that are there several times, the best of each group first. Nothing is changed."""
        return self._once(
            "duplicates",
            lambda engine: [_told(group) for group in duplicates(engine.library.catalog, kinds=KINDS)],
        )

    def _once(self, what: object, find: Callable[[Engine], Any]) -> Future[Any]:
        """What `find` gives for the library as it is now; found once, also for those who ask meanwhile."""
        revision = self._service.revision()
        with self._lock:
            known, future = self._known.get(what, ("", None))
            if future is None or known != revision or (future.done() and future.exception() is not None):
                future = self._thread.submit(self._found, find)
                self._known[what] = revision, future
            return future

    def _found(self, find: Callable[[Engine], Any]) -> Any:
        with self._service.reading() as engine:
            return find(engine)

    def close(self) -> None:
        """Ends the thread once it is through with what it does."""
        self._thread.shutdown(wait=True, cancel_futures=True)


def _told(group: Group) -> dict[str, Any]:
    return {
        "best": item_record(group.best),
        "others": [{**item_record(one.item), "reason": one.reason, "detail": one.detail} for one in group.others],
    }
