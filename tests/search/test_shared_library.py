"""What every store of a library has to answer as the local one does: the same ids, order and scores."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from click.testing import CliRunner
from make_photos import with_exif
from PIL import Image
from postgres_server import Server

from indexer import Encoder, Item, Library, index_sources
from indexer.encoders.base import unit_rows
from indexer.errors import LibraryError
from indexer.items import Source
from indexer.testing import COLORS, color_encoder
from search import Engine, Filter, parse
from search.cli import main
from search.filters import FIELDS
from search.query import ORDERS, like

# Values of each filter, some of which let something through, and some nothing.
VALUES: dict[str, list[str]] = {
    "in": ["trip", "trip/day 2", "nowhere"],
    "path": ["*.jpg", "[a-c]*.j?g", "*/day 2/*", "[^a]*", "IMG[_].png", "[", "A*"],
    "type": ["jpg", "png", "gif"],
    "on": ["2023", "2023-05", "2020-02-29", "1999"],
    "after": ["2023-12-31"],
    "before": ["2024", "1990"],
    "camera": ["canon", "D750", "100%", "leica"],
    "lens": ["rf 50", "zoom"],
    "near": ["Berlin", "52.39,13.06,3", "0,0,1"],
    "place": ["Berlin", "Australia"],
    "min-width": ["31", "100000"],
    "min-height": ["31"],
    "orientation": ["landscape", "portrait", "square"],
    "colour": ["black-and-white", "sepia", "full"],
    "has-caption": [""],
    "tag": ["Warm", "COLD", "other", "none of them"],
}


class Stores(NamedTuple):
    """The library in a folder, and another store of the same photos."""

    local: Engine
    other: Engine
    photos: Path


@pytest.fixture(scope="module", params=["postgres", "milvus"])
def kind(request: pytest.FixtureRequest) -> str:
    """The kind of store that holds a shared library."""
    return str(request.param)


@pytest.fixture(scope="module")
def new_address(kind: str, postgres: Server, request: pytest.FixtureRequest) -> Callable[[], str]:
    """Gives the address of a new, empty library."""
    if kind == "postgres":
        return postgres.database
    milvus = request.getfixturevalue("milvus")
    return lambda: f"{milvus}?catalog={postgres.database()}"


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    (folder / "trip" / "day 2").mkdir(parents=True)
    canon, nikon = {"make": "Canon", "camera": "Canon EOS R5"}, {"make": "NIKON CORPORATION", "camera": "NIKON D750"}
    for place, taken, camera, where in [
        ("trip/a.jpg", datetime(2023, 5, 17, 12), canon, (52.52, 13.405)),
        ("trip/day 2/b.jpg", datetime(2023, 12, 31, 23, 59, 59), canon, (52.39, 13.06)),
        ("c.JPG", datetime(2024, 1, 1), nikon, (-33.87, 151.21)),
    ]:
        with_exif(folder / place, taken=taken, lens="RF 50mm F1.8", latitude=where[0], longitude=where[1], **camera)
    written = datetime(2020, 2, 29, 8).timestamp()
    for number in range(60):
        color = list(COLORS.values())[number % len(COLORS)]
        shade = 1 - (number // len(COLORS)) / 9
        path = folder / ("trip" if number % 3 else "Müller-Zoë") / f"IMG_{number:03}.png"
        path.parent.mkdir(exist_ok=True)
        size = (20 + number, 40)
        Image.new("RGB", size, tuple(int(255 * shade * part) for part in color)).save(path)
        os.utime(path, (written + 86_400 * number, written + 86_400 * number))
    Image.new("RGB", (40, 40), "red").save(folder / "IMG_.png")
    (folder / "broken.jpg").write_bytes(b"no photo")
    (folder / "captions.jsonl").write_text(
        '{"image": "trip/a.jpg", "caption": "two red dogs running on a trip"}\n'
        '{"image": "../' + folder.name + '/./trip/IMG_001.png", "caption": "a green dog"}\n'
    )
    (folder / "notes.txt").write_text("a red tower in Berlin\n\na blue sea by the Café\n")
    return folder


@pytest.fixture(scope="module")
def stores(
    kind: str, new_address: Callable[[], str], photos: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stores]:
    encoder = color_encoder()
    places = tmp_path_factory.mktemp("local"), new_address()
    with ExitStack() as stack:
        local, other = (stack.enter_context(Library.create(place, encoder)) for place in places)
        if kind == "milvus":  # which is asked for the nearest of few, too
            stack.enter_context(pytest.MonkeyPatch.context()).setattr("indexer.postgres.nearest.EXACT", 0)
        for library in (local, other):
            report = index_sources(library, [photos], encoder)
            assert [failure.path.name for failure in report.failures] == ["broken.jpg"]
            library.catalog.tags.add("warm", [1, 3, 5], 0.9)
            library.catalog.tags.add("Cold", [2, 3, 10**9])
        yield Stores(Engine(local, encoder), Engine(other, encoder), photos)


def told(hits: Any) -> list[tuple[Any, ...]]:
    """All that there is to know of hits."""
    return [(hit.id, hit.score, hit.penalty, hit.probability, hit.alike, hit.rank_score, hit.item) for hit in hits]


def same(stores: Stores, query: Any) -> list[tuple[Any, ...]]:
    local, other = told(stores.local.search(query)), told(stores.other.search(query))
    assert other == local
    return local


def filters(stores: Stores, field: str, value: str) -> Filter:
    return Filter(field, str(stores.photos / value) if field == "in" else value)


def test_every_filter_has_values() -> None:
    assert VALUES.keys() == FIELDS.keys()


@pytest.mark.parametrize(("field", "value"), [(field, value) for field in VALUES for value in VALUES[field]])
def test_each_filter_lets_the_same_through(stores: Stores, field: str, value: str) -> None:
    only = filters(stores, field, value)
    others = Filter(only.field, only.value, negated=True)
    among = Filter("orientation", "landscape")
    found = [
        same(stores, parse("red", filters=given, k=100, by_words=by_words))
        for given in ([only], [others], [only, among], [others, among])
        for by_words in (False, True)
    ]
    assert len(found[0]) + len(found[2]) == 64
    for given in ([only], [others]):
        assert stores.other.facets(filters=given) == stores.local.facets(filters=given)
        for sort in ORDERS:
            assert told(stores.other.browse(filters=given, sort=sort)) == told(
                stores.local.browse(filters=given, sort=sort)
            )


@pytest.mark.parametrize("wanted", ["image", "text"])
@pytest.mark.parametrize("k", [1, 10, 1000])
@pytest.mark.parametrize("asked", ["red", "a dark blue one", "red + blue", "red - blue", "-red", "2:red + id:4 - id:7"])
def test_each_question_has_the_same_answer(stores: Stores, asked: str, wanted: str, k: int) -> None:
    assert same(stores, parse(asked, wanted=wanted, k=k))
    assert same(stores, parse(asked, wanted=wanted, k=k, by_words=True))
    same(stores, parse(asked, wanted=wanted, k=k, relevant=True, fits="loosely"))
    same(stores, parse(asked, wanted=wanted, k=k, sort="-date", fits="loosely"))
    assert same(stores, parse(asked, wanted=wanted, k=k, unique=True))
    assert same(stores, parse(asked, wanted=wanted, k=k, diverse=True))


def test_a_photo_or_a_stored_item_finds_the_same(stores: Stores) -> None:
    photo = stores.photos / "trip" / "a.jpg"
    for things in ([photo], [3], [photo, 5]):
        for options in ({}, {"include_self": True}, {"best_of_each": True}, {"right": (8,), "wrong": (9, 1)}):
            assert same(stores, like(*things, **options))  # type: ignore[arg-type]
    assert same(stores, like(photo, wanted="text"))


@pytest.mark.parametrize(
    "word", ["dogs", "run", "trip", "img", "muller", "MÜLLER", "zoe", "café", "cafe", "berlin", "001", "jpg", "nothing"]
)
def test_words_are_found_in_the_same_names_and_texts(stores: Stores, word: str) -> None:
    for wanted in ("image", "text"):
        found = [engine.library.catalog.match_word(word.lower(), wanted) for engine in stores[:2]]
        assert found[0] == found[1]
        same(stores, parse(word, wanted=wanted, by_words=None))


def test_orders_and_facets_are_the_same_without_a_question(stores: Stores) -> None:
    for wanted in ("image", "text"):
        assert stores.other.facets(wanted) == stores.local.facets(wanted)
        for sort in [*ORDERS, *(f"-{order}" for order in ORDERS)]:
            assert np.array_equal(stores.other.listed(wanted, sort=sort), stores.local.listed(wanted, sort=sort))


WRITER = """
import sys
from indexer import Library, index_sources
from indexer.testing import color_encoder
address, folder, rounds = sys.argv[1:]
for _ in range(int(rounds)):
    with Library.create(address, color_encoder()) as library:
        report = index_sources(library, [folder], color_encoder())
        assert not report.failures, report.failures
"""

READER = """
import sys
from collections import Counter
import indexer.postgres.nearest
from indexer import Library
from indexer.testing import color_encoder
from search import Engine, parse
address, ended = sys.argv[1:]
indexer.postgres.nearest.EXACT = 0
asked = 0
while True:
    with Library.open(address) as library:
        engine = Engine(library, color_encoder())
        for _ in range(10):
            hits = engine.search(parse("red", k=1000))
            twice = [path for path, times in Counter(hit.item.path for hit in hits).items() if times > 1]
            assert not twice, twice
            with library.catalog.snapshot():
                half = library.catalog.scalar("SELECT count(*) FROM items WHERE id NOT IN (SELECT id FROM vectors)")
                assert not half, half
            asked += 1
    from pathlib import Path
    if Path(ended).exists():
        print(asked, len(hits))
        break
"""


def test_many_writers_and_readers_lose_and_double_nothing(new_address: Callable[[], str], tmp_path: Path) -> None:
    address, folder, ended = new_address(), tmp_path / "photos", tmp_path / "ended"
    folder.mkdir()

    def paint(numbers: range, *, shade: int = 0) -> None:
        for number in numbers:
            Image.new("RGB", (8, 8), (number, shade, 255 - number)).save(folder / f"{number}.png")

    paint(range(100))
    Library.create(address, color_encoder()).close()

    def start(script: str, *arguments: object) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", script, *map(str, arguments)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    readers = [start(READER, address, ended) for _ in range(2)]
    writers = [start(WRITER, address, folder, 2) for _ in range(3)]
    paint(range(100, 150))
    paint(range(10), shade=200)
    for number in range(40, 60):
        (folder / f"{number}.png").rename(folder / f"moved {number}.png")
    for processes in (writers, readers):
        for process in processes:
            _, errors = process.communicate(timeout=240)
            assert process.returncode == 0, errors
        ended.touch()
    with (
        Library.create(address, color_encoder()) as shared,
        Library.create(tmp_path / "local", color_encoder()) as local,
    ):
        for library in (shared, local):
            index_sources(library, [folder], color_encoder())
        assert shared.indexes.behind() == 0
        held = [_vectors_by_path(library) for library in (shared, local)]
    assert held[0] == held[1]
    assert len(held[0]) == 150


def _vectors_by_path(library: Library) -> dict[str, list[float]]:
    """The vectors by the names of files, each of which must stand there once."""
    ids = library.catalog.ids("image").tolist()
    items, rows = library.catalog.items(ids), library.catalog.vectors(ids).rows
    assert len(items) == len(ids) == library.catalog.count("image")
    held = {item.path.name: row.tolist() for item, row in zip(items, rows, strict=True)}
    assert len(held) == len(ids)
    return held


def test_an_index_finds_nearly_all_and_fills_what_a_filter_leaves(
    kind: str, new_address: Callable[[], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("indexer.postgres.nearest.EXACT", 0)
    address, encoder = new_address(), Encoder("directions", 32, "0", {})
    chance = np.random.default_rng(0)
    rows = unit_rows(chance.standard_normal((3000, 32)).astype(np.float32))
    found = []
    for place in (address, tmp_path / "library"):
        with Library.create(place, encoder) as library:
            with library.catalog.atomic() as revision:
                source = Source(Path("/photos/all.jpg"), "image", 1, 10**18)
                file_id = library.catalog.files.put(source)
                items = [Item("image", source.path, str(number)) for number in range(len(rows))]
                library.catalog.put_items(file_id, items, rows, revision)
            library.indexes.save()
            index = library.index("image")
            tenth = library.allowed("image", "items.part LIKE ?", ("%7",))
            hundredth = np.arange(1, len(rows), 100)
            found.append(
                [
                    index.search(rows[:20], 10),
                    *(index.search(rows[:5], 10, allowed=some) for some in (tenth, hundredth)),
                ]
            )
    if kind == "postgres":
        with Library.open(address) as library:
            assert library.catalog.scalar("SELECT to_regclass('vectors_nearest_image')::text")
    for (scores, ids), (true_scores, true_ids) in zip(*found, strict=True):
        assert np.mean([np.isin(row, truth).mean() for row, truth in zip(ids, true_ids, strict=True)]) > 0.95
        assert np.allclose(scores[:, 0], true_scores[:, 0], atol=1e-6)
        assert (ids >= 0).all()
    assert np.isin(found[0][2][1], hundredth).all()


def test_a_reader_needs_no_more_than_to_read_and_a_writer_owns_nothing(
    stores: Stores, new_address: Callable[[], str]
) -> None:
    import psycopg

    address, folder = new_address(), stores.photos
    Library.create(address, color_encoder()).close()
    with psycopg.connect(address.rpartition("catalog=")[2], autocommit=True) as owner:
        for role, rights in (("reader", "SELECT"), ("writer", "SELECT, INSERT, UPDATE, DELETE")):
            owner.execute(f"DO $$ BEGIN CREATE ROLE {role} LOGIN; EXCEPTION WHEN duplicate_object THEN END $$")
            owner.execute(f"GRANT USAGE ON SCHEMA descry TO {role}")
            owner.execute(f"GRANT {rights} ON ALL TABLES IN SCHEMA descry TO {role}")
    with Library.create(address.replace("descry@", "writer@"), color_encoder()) as library:
        index_sources(library, [folder], color_encoder())
        assert library.catalog.counts() == stores.local.library.catalog.counts()
    with Library.open(address.replace("descry@", "reader@")) as library:
        assert told(Engine(library, color_encoder()).search("red")) == told(stores.local.search("red"))
        with pytest.raises(LibraryError, match="reader@"):
            library.catalog.tags.add("stolen", [1])
    reader = address.replace("descry@", "reader@")
    with Library.open(reader, readonly=False) as library, pytest.raises(LibraryError, match="refuses"):
        library.remove(folder)


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://ann:secret@127.0.0.1:1/library",
        "postgresql://ann:sec@secret@127.0.0.1:1/library",
        "postgresql://ann:sec/secret@127.0.0.1:1/library",
        "postgresql://ann:sec%zzsecret@127.0.0.1:1/library",
        "postgresql://ann@127.0.0.1:1/library?password=secret",
        "postgresql://ann:secret@127.0.0.1:1/library?nonsense=1",
        "postgresql://ann:secret@no-such-host.invalid/library",
    ],
)
def test_a_store_that_does_not_answer_is_one_line_without_the_password(address: str) -> None:
    pytest.importorskip("psycopg")
    done = CliRunner().invoke(main, ["--library", address, "search", "cat"])
    assert done.exit_code == 2
    assert done.output.count("\n") == 1
    assert done.output.startswith("Error: The ")
    assert "secret" not in done.output.replace('"secret"', "")


@pytest.mark.parametrize("command", [["serve", "--port", "0"], ["status"], ["index", "."]])
def test_every_command_says_in_one_line_that_the_store_does_not_answer(command: list[str]) -> None:
    pytest.importorskip("psycopg")
    done = CliRunner().invoke(main, ["--library", "postgresql://ann:secret@127.0.0.1:1/library", *command])
    assert (done.exit_code, done.output.count("\n")) == (2, 1)
    assert "does not answer" in done.output and "secret" not in done.output


def test_what_an_address_says_of_tls_is_asked_of_the_server(postgres: Server) -> None:
    address = postgres.database()
    Library.create(address, color_encoder()).close()
    Library.open(f"{address}?sslmode=prefer").close()
    with pytest.raises(LibraryError, match="SSL"):
        Library.open(f"{address}?sslmode=require")


def test_a_server_that_says_nothing_is_not_waited_for_long() -> None:
    pytest.importorskip("psycopg")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"postgresql://ann@127.0.0.1:{silent.getsockname()[1]}/library?connect_timeout=2"
        with pytest.raises(LibraryError, match="does not answer"):
            Library.open(address)


def test_a_connection_that_breaks_is_one_line_and_leaves_nothing_half_written(postgres: Server, tmp_path: Path) -> None:
    import psycopg

    address = postgres.database()
    written = Library.create(address, color_encoder())
    with pytest.raises(LibraryError, match="does not answer"), written.catalog.atomic() as revision:
        file_id = written.catalog.files.put(Source(tmp_path / "a.jpg", "image", 1, 1))
        item = Item("image", tmp_path / "a.jpg")
        written.catalog.put_items(file_id, [item], np.array([[1, 0, 0, 0]], np.float32), revision)
        with psycopg.connect(address, autocommit=True) as other:
            of_this = "application_name = 'descry' AND datname = current_database()"
            other.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {of_this}")
    written.close()
    with Library.open(address) as library:
        assert library.catalog.counts() == {}
        assert library.catalog.files.folders_under(tmp_path) == []


@pytest.mark.parametrize(
    "address", ["mongodb://127.0.0.1:27017", "mysql://ann:secret@host/photos", "s3://photos/library"]
)
def test_an_address_of_a_kind_that_nobody_knows_is_no_folder(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for command in (["status"], ["search", "cat"], ["index", str(tmp_path)]):
        done = CliRunner().invoke(main, ["--library", address, *command])
        assert (done.exit_code, done.output.count("\n")) == (2, 1), done.output
        assert "or postgresql://" in done.output
        assert "secret" not in done.output
    assert not list(tmp_path.iterdir())


def test_what_needs_a_folder_says_so_in_a_line() -> None:
    done = CliRunner().invoke(main, ["--library", "postgresql://127.0.0.1:1/library", "groups"])
    assert (done.exit_code, done.output.count("\n")) == (2, 1)
    assert "`descry groups` needs a library in a folder" in done.output


def test_a_text_may_hold_what_postgresql_cannot(postgres: Server, tmp_path: Path) -> None:
    (tmp_path / "captions.jsonl").write_text('{"image": "a\\u0000.jpg", "caption": "red\\u0000 green"}\n')
    with Library.create(postgres.database(), color_encoder()) as library:
        assert not index_sources(library, [tmp_path], color_encoder()).failures
        (hit,) = Engine(library, color_encoder()).search(parse("red", wanted="text"))
        assert hit.item.text == "red green"
