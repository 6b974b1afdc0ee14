"""What Milvus is sent of a library in PostgreSQL, and what it finds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from make_photos import with_exif
from milvus_server import running_milvus
from PIL import Image
from postgres_server import Server

from indexer import Library, index_sources
from indexer.errors import LibraryError
from indexer.testing import color_encoder
from search import Engine, Filter, parse
from search.cli import main
from search.filters import to_sql

# Filters that let something through, of which Milvus can tell all, and others of which it tells a part, or nothing.
TOLD = {
    "path": "*.png",
    "type": "jpg",
    "on": "2023",
    "after": "2023",
    "before": "2024",
    "camera": "canon",
    "lens": "rf 50",
    "place": "Berlin",
    "min-width": "41",
    "orientation": "landscape",
}
NOT_TOLD = {"path": "[a-c].jpg", "near": "52.39,13.06,30", "has-caption": "", "tag": "warm"}


@pytest.fixture
def address(postgres: Server, milvus: str) -> str:
    return f"{milvus}?catalog={postgres.database()}"


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    from datetime import datetime

    folder = tmp_path / "photos"
    (folder / "Trip").mkdir(parents=True)
    berlin = {"latitude": 52.52, "longitude": 13.405}
    with_exif(folder / "Trip" / "a.jpg", taken=datetime(2023, 5, 17), camera="Canon EOS R5", lens="RF 50mm", **berlin)
    with_exif(folder / "b.JPG", taken=datetime(2024, 1, 1), camera="NIKON D750")
    for number, color in enumerate(("red", "darkred", "orange", "green", "blue", "navy")):
        Image.new("RGB", (40 + number, 41), color).save(folder / f"{color}.png")
    (folder / "captions.jsonl").write_text('{"image": "red.png", "caption": "something red"}\n')
    return folder


def indexed(place: Path | str, photos: Path) -> Library:
    library = Library.create(place, color_encoder())
    assert not index_sources(library, [photos], color_encoder()).failures
    return library


def collection(library: Any) -> Any:
    return library._collection


def paths(library: Library, *filters: Filter, k: int = 3) -> list[tuple[str, float]]:
    hits = Engine(library, color_encoder()).search(parse("red", filters=filters, k=k, by_words=False))
    return [(str(hit.item.path), hit.score) for hit in hits]


@pytest.fixture
def by_milvus(monkeypatch: pytest.MonkeyPatch) -> None:
    """Questions are answered by what Milvus finds, and never by comparing all that pass."""

    def compared(*_: object) -> None:
        raise AssertionError("all were compared")

    monkeypatch.setattr("indexer.postgres.nearest.EXACT", -1)
    monkeypatch.setattr("indexer.postgres.nearest.compared", compared)


def test_milvus_lets_through_all_that_a_filter_does(address: str, photos: Path) -> None:
    with indexed(address, photos) as library:
        library.catalog.tags.add("warm", library.catalog.ids("image")[:1].tolist())
        index: Any = library.indexes.approximate
        for filters, is_told in ((TOLD, True), (NOT_TOLD, False)):
            for field, value in filters.items():
                sql, values = to_sql([Filter(field, value)])
                expected = set(library.catalog.ids("image", sql, values).tolist())
                told = index.told("image", library.allowed("image", sql, values))
                ids, _ = collection(library).nearest(
                    library.catalog.some_vectors("image", 1000).rows[0], told, 100, ef=200
                )
                assert expected
                assert expected <= {*ids.tolist()}, field
                assert ({*ids.tolist()} == expected) == is_told or field == "near", field


@pytest.mark.usefixtures("by_milvus")
def test_what_milvus_finds_is_what_a_folder_finds(address: str, photos: Path, tmp_path: Path) -> None:
    with indexed(address, photos) as library, indexed(tmp_path / "local", photos) as local:
        for field, value in [("", ""), *TOLD.items(), *NOT_TOLD.items()]:
            for negated in (False, True):
                filters = [Filter(field, value, negated=negated)] if field else []
                if field != "tag":
                    assert paths(library, *filters) == paths(local, *filters), field


@pytest.mark.usefixtures("by_milvus")
def test_what_moves_changes_or_goes_is_sent(address: str, photos: Path) -> None:
    with indexed(address, photos) as library:
        held = collection(library).count()
        (photos / "red.png").rename(photos / "Trip" / "moved.png")
        (photos / "navy.png").unlink()
        Image.new("RGB", (8, 8), "red").save(photos / "green.png")
        index_sources(library, [photos], color_encoder())
        assert library.indexes.behind() == 0
        assert collection(library).count() == held - 1
        inside = Filter("in", str(photos / "Trip"))
        assert paths(library, inside, k=1) == [(str(photos / "Trip" / "moved.png"), 1.0)]
        assert {Path(path).name for path, _ in paths(library, k=2)} == {"moved.png", "green.png"}
        library.remove(photos)
        assert collection(library).count() == library.indexes.behind() == 0


@pytest.mark.usefixtures("by_milvus")
def test_what_is_written_without_milvus_is_found_and_sent_later(address: str, photos: Path) -> None:
    catalog = address.partition("catalog=")[2]
    with indexed(catalog, photos) as library:
        assert not hasattr(library, "_collection")
    with Library.create(address, color_encoder()) as library:
        assert library.indexes.behind() > 0  # all that was there before
        assert paths(library, k=1)[0][0] == str(photos / "red.png")
        library.indexes.save()
        assert collection(library).count() == sum(library.catalog.counts().values())
    Image.new("RGB", (9, 9), "red").save(photos / "also red.png")
    (photos / "red.png").unlink()
    indexed(catalog, photos).close()
    with Library.open(address) as library:
        assert library.indexes.behind() > 0
        assert paths(library, k=1)[0][0] == str(photos / "also red.png")
    with indexed(address, photos) as library:
        assert library.indexes.behind() == 0
        assert paths(library, k=1)[0][0] == str(photos / "also red.png")


@pytest.mark.usefixtures("by_milvus")
def test_a_collection_that_is_gone_is_made_anew(address: str, photos: Path) -> None:
    with indexed(address, photos) as library:
        found = paths(library)
        collection(library).drop()
    with pytest.raises(LibraryError, match="descry index"):
        Library.open(address)
    with indexed(address, photos) as library:
        assert library.indexes.behind() == 0
        assert paths(library) == found


def test_milvus_that_goes_away_is_one_line_and_costs_nothing_that_was_stored(postgres: Server, photos: Path) -> None:
    catalog = postgres.database()
    with running_milvus() as milvus:
        Library.create(f"{milvus}?catalog={catalog}", color_encoder()).close()
        library = Library.create(f"{milvus}?timeout=2&catalog={catalog}", color_encoder())
    with pytest.raises(LibraryError, match="cannot be asked"):
        index_sources(library, [photos], color_encoder())
    library.close()
    with Library.open(catalog) as library:
        assert library.catalog.counts()["image"] == 8
    for command in (["search", "cat"], ["status"], ["serve", "--port", "0"]):
        address = f"milvus://ann:secret@127.0.0.1:1?timeout=2&catalog={catalog}"
        done = CliRunner().invoke(main, ["--library", address, *command])
        assert (done.exit_code, done.output.count("\n")) == (2, 1), done.output
        assert "milvus://ann@127.0.0.1:1?" in done.output and "secret" not in done.output


def test_a_library_that_milvus_does_not_know_is_not_made_by_asking(address: str, photos: Path) -> None:
    indexed(address.partition("catalog=")[2], photos).close()
    done = CliRunner().invoke(main, ["--library", address, "status"])
    assert (done.exit_code, done.output.count("\n")) == (2, 1), done.output
    assert "`descry index FOLDER`" in done.output
