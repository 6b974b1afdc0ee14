"""Vectors that leave a library and come back, and vectors that were made elsewhere."""

import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from painting import WatchedEncoder, held, later, paint, paint_many, shade

from indexer import Encoder, Library, index_sources
from indexer.errors import EncoderMismatch, PathError, UnknownEncoder
from indexer.testing import color_encoder
from indexer.transfer import batches, clip_retrieval, npz, parquet
from indexer.transfer.exporting import export
from indexer.transfer.importing import encoder_of, import_into, open_embeddings
from search import Engine, parse

FORMATS = ["items.npz", "items.parquet"]


@pytest.fixture
def filled(library: Library, encoder: Encoder, photos: Path) -> Library:
    """Three photos, one of them with two captions, and a text of several passages."""
    for color in ("red", "green", "blue"):
        paint(photos / f"{color}.png", color)
    (photos / "red.txt").write_text("a red one\nyellow and orange\n")
    (photos / "notes.md").write_text("Blue is the sea.\n\nGreen is the grass, 海.\n")
    assert not index_sources(library, [photos], encoder).failures
    return library


def vectors(library: Library) -> dict[tuple[str, str, str], bytes]:
    """Every vector of a library, bit by bit as float16, by place."""
    rows = library.catalog.connection.execute(
        "SELECT folders.path || '/' || name, items.modality, part, items.id FROM items "
        "JOIN files ON files.id = file_id JOIN folders ON folders.id = folder_id"
    )
    return {
        (path, modality, part): library.catalog.stored.read(np.array([id])).astype("<f2").tobytes()
        for path, modality, part, id in rows
    }


def answers(library: Library, encoder: Encoder) -> list[tuple[Any, ...]]:
    engine = Engine(library, encoder)
    hits = [
        hit
        for wanted in ("image", "text")
        for query in ("red", "green - yellow", "blue + orange")
        for hit in engine.search(parse(query, wanted=wanted))
    ]
    return [(hit.item.path, hit.item.part, hit.item.text, dict(hit.item.facts), hit.score) for hit in hits]


@pytest.mark.parametrize("name", FORMATS)
def test_what_is_exported_and_imported_gives_the_same_answers_and_is_not_embedded_again(
    name: str, filled: Library, watched: WatchedEncoder, photos: Path, tmp_path: Path
) -> None:
    encoder = watched.encoder
    exported = export(filled, tmp_path / name)
    assert exported == len(vectors(filled)) > 5
    report = import_into(tmp_path / "other", open_embeddings(tmp_path / name), encoder)
    assert (report.stored, report.known, report.missing) == (exported, 0, 0)
    with Library.create(tmp_path / "other", encoder) as other:
        assert vectors(other) == vectors(filled)
        assert answers(other, encoder) == answers(filled, encoder)
        watched.taken()
        assert index_sources(other, [photos], encoder).unchanged == 5
        assert watched.taken() == 0


def test_a_photo_that_changed_after_the_export_is_embedded_again(
    filled: Library, encoder: Encoder, photos: Path, tmp_path: Path
) -> None:
    export(filled, tmp_path / "items.npz")
    later(paint(photos / "blue.png", "orange"))
    import_into(tmp_path / "other", open_embeddings(tmp_path / "items.npz"), encoder)
    with Library.create(tmp_path / "other", encoder) as other:
        report = index_sources(other, [photos], encoder)
    assert (report.embedded, report.unchanged) == (1, 4)


def test_a_photo_that_was_moved_after_the_export_keeps_its_vector(
    filled: Library, encoder: Encoder, photos: Path, tmp_path: Path
) -> None:
    export(filled, tmp_path / "items.npz")
    (photos / "blue.png").rename(photos / "sea.png")
    import_into(tmp_path / "other", open_embeddings(tmp_path / "items.npz"), encoder)
    with Library.create(tmp_path / "other", encoder) as other:
        assert index_sources(other, [photos], encoder).moved == 1


def test_an_export_is_read_by_numpy_alone(filled: Library, tmp_path: Path) -> None:
    export(filled, tmp_path / "items.npz")
    with np.load(tmp_path / "items.npz") as arrays:
        stored = vectors(filled)
        places = zip(arrays["path"], arrays["modality"], arrays["part"], strict=True)
        assert {place: row.tobytes() for place, row in zip(places, arrays["vector"], strict=True)} == stored
        assert json.loads(arrays["facts"][0])["width"] == 8
        assert "Green is the grass, 海." in arrays["text"]
        assert (arrays["encoder"], arrays["checksum"]) == ("colors", "0")


def test_an_export_is_read_by_pyarrow_alone(filled: Library, tmp_path: Path) -> None:
    export(filled, tmp_path / "items.parquet")
    rows = pq.read_table(tmp_path / "items.parquet").to_pylist()
    halves = {
        (row["path"], row["modality"], row["part"]): np.array(row["vector"], np.float16).tobytes() for row in rows
    }
    assert halves == vectors(filled)


@pytest.mark.parametrize("name", FORMATS)
def test_a_part_of_a_library_can_be_exported(name: str, filled: Library, encoder: Encoder, tmp_path: Path) -> None:
    assert export(filled, tmp_path / name, modality="image", condition=("files.name != ?", ("red.png",))) == 2
    import_into(tmp_path / "other", open_embeddings(tmp_path / name), encoder)
    with Library.open(tmp_path / "other") as other:
        assert {path.name for path in held(other)} == {"green.png", "blue.png"}


@pytest.mark.parametrize("name", FORMATS)
def test_many_batches_are_one_library(
    name: str, library: Library, encoder: Encoder, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (batches, npz, clip_retrieval, parquet):
        if hasattr(module, "BATCH"):
            monkeypatch.setattr(module, "BATCH", 3)
    paint_many(photos, 8)
    (photos / "captions.jsonl").write_text("".join(f'{{"caption": "{number} red"}}\n' for number in range(10)))
    index_sources(library, [photos], encoder)
    export(library, tmp_path / name)
    report = import_into(tmp_path / "other", open_embeddings(tmp_path / name), encoder)
    assert report.stored == 18
    with Library.create(tmp_path / "other", encoder) as other:
        assert vectors(other) == vectors(library)
        assert index_sources(other, [photos], encoder).unchanged == 9


def test_an_import_that_was_stopped_goes_on(
    library: Library, encoder: Encoder, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "BATCH", 3)
    paint_many(photos, 2)
    (photos / "captions.jsonl").write_text("".join(f'{{"caption": "{number} red"}}\n' for number in range(10)))
    index_sources(library, [photos], encoder)
    export(library, tmp_path / "items.npz")

    class Stopped(npz.Npz):
        passes = 0

        def batches(self) -> Any:
            self.passes += 1
            for number, batch in enumerate(super().batches()):
                if (self.passes, number) == (2, 2):  # the first pass only looks
                    raise KeyboardInterrupt
                yield batch

    stopped = import_into(tmp_path / "other", Stopped(tmp_path / "items.npz"), encoder)
    assert (stopped.stored, stopped.interrupted) == (6, True)
    report = import_into(tmp_path / "other", open_embeddings(tmp_path / "items.npz"), encoder)
    assert (report.stored, report.known) == (6, 6)
    with Library.create(tmp_path / "other", encoder) as other:
        assert vectors(other) == vectors(library)
        assert index_sources(other, [photos], encoder).unchanged == 3


def test_what_the_library_holds_already_stays_as_it_is(
    filled: Library, encoder: Encoder, photos: Path, tmp_path: Path
) -> None:
    export(filled, tmp_path / "items.npz")
    later(paint(photos / "blue.png", "orange"))
    index_sources(filled, [photos], encoder)
    before = vectors(filled)
    report = import_into(filled.path, open_embeddings(tmp_path / "items.npz"), encoder)
    assert report.stored == 0
    assert vectors(filled) == before


def test_vectors_take_the_place_of_a_failure(library: Library, encoder: Encoder, photos: Path, tmp_path: Path) -> None:
    paint(photos / "red.png", "red")
    index_sources(library, [photos], encoder)
    export(library, tmp_path / "items.npz")
    (photos / "red.png").write_bytes(b"broken")
    other = tmp_path / "other"
    with Library.create(other, encoder) as opened:
        assert index_sources(opened, [photos], encoder).failures
    assert import_into(other, open_embeddings(tmp_path / "items.npz"), encoder).stored == 1
    with Library.open(other) as opened:
        assert len(held(opened)) == 1
        assert not opened.catalog.files.failures()


# the layout of clip-retrieval


def write_layout(folder: Path, number: str, table: dict[str, list[Any]], **arrays: Any) -> Path:
    """A shard: `table` as its metadata, and `img_emb` or `text_emb` beside it."""
    for kind, rows in arrays.items():
        (folder / kind).mkdir(parents=True, exist_ok=True)
        np.save(folder / kind / f"{kind}_{number}.npy", rows)
    (folder / "metadata").mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(table), folder / "metadata" / f"metadata_{number}.parquet")
    return folder


def rows_of(encoder: Encoder, *colors: str) -> Any:
    return np.asarray(encoder.embed("text", list(colors)), np.float16)


def test_a_folder_as_clip_retrieval_writes_it_becomes_a_library(
    encoder: Encoder, watched: WatchedEncoder, photos: Path, tmp_path: Path
) -> None:
    paint(photos / "red.png", "red")
    paint(photos / "below" / "green.png", "green")
    folder = tmp_path / "embeddings"
    table = {
        "image_path": [str(photos / "red.png"), "below/green.png"],
        "caption": ["a red one", None],
        "url": ["https://example.org/1", None],
    }
    captions = np.concatenate([rows_of(encoder, "red"), np.ones((1, 4), np.float16)])
    write_layout(folder, "0", table, img_emb=rows_of(encoder, "red", "green"), text_emb=captions)
    write_layout(folder, "10", {"image_path": ["gone.jpg"]}, img_emb=rows_of(encoder, "blue") * 3)
    report = import_into(tmp_path / "library", open_embeddings(folder, photos=photos), encoder)
    assert (report.stored, report.missing) == (4, 1)
    with Library.create(tmp_path / "library", watched.encoder) as library:
        engine = Engine(library, watched.encoder)
        (red,) = engine.search(parse("red", k=1))
        assert (red.item.path, red.score) == (photos / "red.png", pytest.approx(1, abs=1e-3))
        assert red.item.facts["width"] == 8
        assert red.item.facts["url"] == "https://example.org/1"
        (blue,) = engine.search(parse("blue", k=1))
        assert (blue.item.path, blue.missing) == (photos / "gone.jpg", True)
        assert blue.score == pytest.approx(1, abs=1e-3)  # a row of length 3 is a direction too
        (caption,) = engine.search(parse("red", k=9, wanted="text"))
        assert (caption.item.text, caption.item.facts["photo"]) == ("a red one", str(photos / "red.png"))
        watched.taken()
        assert index_sources(library, [photos], watched.encoder).unchanged == 2
        assert watched.taken() == 0


def test_an_imported_photo_that_moves_keeps_its_vector(encoder: Encoder, photos: Path, tmp_path: Path) -> None:
    paint(photos / "red.png", "red")
    folder = write_layout(tmp_path / "it", "0", {"image_path": ["red.png"]}, img_emb=rows_of(encoder, "blue"))
    import_into(tmp_path / "library", open_embeddings(folder, photos=photos), encoder)
    (photos / "red.png").rename(photos / "else.png")
    with Library.create(tmp_path / "library", encoder) as library:
        assert index_sources(library, [photos], encoder).moved == 1
        (hit,) = Engine(library, encoder).search("blue")
        assert hit.score == pytest.approx(1, abs=1e-3)


def test_a_photo_that_turns_up_after_the_import_is_embedded(encoder: Encoder, photos: Path, tmp_path: Path) -> None:
    folder = write_layout(tmp_path / "it", "0", {"image_path": ["red.png"]}, img_emb=rows_of(encoder, "blue"))
    assert import_into(tmp_path / "library", open_embeddings(folder, photos=photos), encoder).missing == 1
    assert import_into(tmp_path / "library", open_embeddings(folder, photos=photos), encoder).known == 1
    paint(photos / "red.png", "red")
    with Library.create(tmp_path / "library", encoder) as library:
        assert index_sources(library, [photos], encoder).embedded == 1


def test_what_a_table_says_of_photos_is_kept_and_its_gaps_are_not(encoder: Encoder, tmp_path: Path) -> None:
    table = {
        "image_path": ["a.jpg", "b.jpg"],
        "caption": ["red", "  "],
        "width": [64.0, float("nan")],
        "original_width": [None, 4000.0],
    }
    folder = write_layout(tmp_path / "it", "0", table, img_emb=rows_of(encoder, "red", "blue"))
    import_into(tmp_path / "library", open_embeddings(folder), encoder)
    with Library.open(tmp_path / "library") as library:
        first, second = library.catalog.items([1, 2])
    assert (first.facts["width"], first.facts["caption"]) == (64, "red")
    assert second.facts["width"] == 4000
    assert "caption" not in second.facts


def test_a_photo_that_is_named_twice_is_stored_once(encoder: Encoder, photos: Path, tmp_path: Path) -> None:
    paint(photos / "red.png", "red")
    table = {"image_path": ["red.png", "red.png", "gone.png", "red.png", "gone.png"]}
    rows = rows_of(encoder, *["red"] * 5)
    folder = write_layout(tmp_path / "it", "0", table, img_emb=rows)
    report = import_into(tmp_path / "library", open_embeddings(folder, photos=photos), encoder)
    assert (report.stored, report.known) == (2, 3)


def test_thousands_of_rows_are_those_of_the_arrays(encoder: Encoder, photos: Path, tmp_path: Path) -> None:
    colors = np.array([(*shade(number * 77), 9) for number in range(1, 5_001)], np.float32)
    table = {"image_path": [f"{number}.jpg" for number in range(5_000)]}
    folder = write_layout(tmp_path / "it", "000", table, img_emb=colors)
    report = import_into(tmp_path / "library", open_embeddings(folder, photos=photos), encoder)
    assert (report.stored, report.missing) == (5_000, 5_000)
    unit = (colors / np.linalg.norm(colors, axis=1, keepdims=True)).astype(np.float16)
    with Library.open(tmp_path / "library") as library:
        stored = vectors(library)
    got = np.stack([np.frombuffer(stored[f"{photos}/{n}.jpg", "image", ""], np.float16) for n in range(5_000)])
    np.testing.assert_allclose(got.astype(np.float32), unit.astype(np.float32), atol=1e-3)


# what is refused


def layouts(folder: Path, encoder: Encoder) -> dict[str, Path]:
    """Folders that are wrong, each by the words that say why."""
    two = {"image_path": ["a.jpg", "b.jpg"]}
    good = rows_of(encoder, "red", "blue")
    not_a_number, zero = good.copy(), good.copy()
    not_a_number[1, 2], zero[1] = np.nan, 0
    return {
        "img_emb_0.npy, row 2: it holds values that are no numbers": write_layout(
            folder / "a", "0", two, img_emb=not_a_number
        ),
        "img_emb_0.npy, row 2: all its values are 0": write_layout(folder / "b", "0", two, img_emb=zero),
        "have 3 dimensions, those of colors 4": write_layout(folder / "c", "0", two, img_emb=good[:, :3]),
        "has 2 rows, img_emb_0.npy 1": write_layout(folder / "d", "0", two, img_emb=good[:1]),
        "no column image_path, but file": write_layout(folder / "e", "0", {"file": ["a", "b"]}, img_emb=good),
        "row 2: None is no path": write_layout(folder / "f", "0", {"image_path": ["a.jpg", None]}, img_emb=good),
        "img_emb_0.npy is not there": write_layout(folder / "g", "0", two),
        "not float [n, dim]": write_layout(folder / "h", "0", two, img_emb=np.array(["a", "b"])),
    }


def test_wrong_embeddings_are_refused_by_name_and_make_no_library(encoder: Encoder, tmp_path: Path) -> None:
    for reason, folder in layouts(tmp_path / "it", encoder).items():
        with pytest.raises((PathError, EncoderMismatch)) as refusal:
            import_into(tmp_path / "library", open_embeddings(folder), encoder)
        assert reason in str(refusal.value)
        assert "\n" not in str(refusal.value)
    assert not (tmp_path / "library").exists()


def test_vectors_of_another_encoder_are_refused(filled: Library, tmp_path: Path) -> None:
    for name in FORMATS:
        export(filled, tmp_path / name)
        for other in (color_encoder(checksum="1"), color_encoder(name="other")):
            with pytest.raises(EncoderMismatch, match=r"made by colors \(0\), not by"):
                import_into(tmp_path / "other", open_embeddings(tmp_path / name), other)


def test_the_encoder_is_the_one_that_is_named_or_the_embeddings_name_it(
    filled: Library, encoder: Encoder, tmp_path: Path
) -> None:
    folder = write_layout(tmp_path / "it", "0", {"image_path": ["a.jpg"]}, img_emb=rows_of(encoder, "red"))
    with pytest.raises(PathError, match="name it with --model"):
        encoder_of(open_embeddings(folder))
    assert encoder_of(open_embeddings(folder), "embedded").name == "embedded"
    export(filled, tmp_path / "items.npz")
    exported = open_embeddings(tmp_path / "items.npz")
    with pytest.raises(PathError, match="says that colors made its vectors: if that is right, name it with --model"):
        encoder_of(exported)
    for names_it in ({"model": "colors"}, {"library": filled.path}):
        with pytest.raises(UnknownEncoder, match="'colors'"):  # it is looked for, and there is none of that name
            encoder_of(exported, **names_it)
    with pytest.raises(PathError, match="name it with --model"):
        encoder_of(exported, library=tmp_path / "none")


@pytest.mark.parametrize("name", FORMATS)
def test_half_a_file_and_no_export_are_refused(name: str, filled: Library, tmp_path: Path) -> None:
    export(filled, tmp_path / name)
    content = (tmp_path / name).read_bytes()
    for broken in (b"", b"not an export", content[: len(content) // 2]):
        (tmp_path / name).write_bytes(broken)
        with pytest.raises(PathError, match=name):
            open_embeddings(tmp_path / name)
    np.savez(tmp_path / "else.npz", a=np.zeros(3))
    with pytest.raises(PathError, match=r"else\.npz is no whole export"):
        open_embeddings(tmp_path / "else.npz")
    pq.write_table(pa.table({"a": [1]}), tmp_path / "else.parquet")
    with pytest.raises(PathError, match=r"else\.parquet .* lacks facts"):
        open_embeddings(tmp_path / "else.parquet")


@pytest.mark.parametrize(
    ("place", "reason"), [("it.csv", "end it in .npz or .parquet"), ("nowhere/it.npz", "cannot be written")]
)
def test_a_place_where_nothing_can_be_written_is_refused(
    place: str, reason: str, filled: Library, tmp_path: Path
) -> None:
    with pytest.raises(PathError, match=reason):
        export(filled, tmp_path / place)


def test_an_empty_library_and_a_full_disk_leave_no_file(
    library: Library, filled: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(PathError, match="nothing to export"):
        export(library, tmp_path / "items.npz", modality="sound")

    def full(*_: object, **__: object) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(batches.Contents, "columns", full)
    for name in FORMATS:
        with pytest.raises(PathError, match="no space left"):
            export(filled, tmp_path / name)
    assert not [path for path in tmp_path.iterdir() if path.is_file()]


def test_without_pyarrow_the_extra_is_named(filled: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(PathError, match=r"descry\[parquet\]"):
        export(filled, tmp_path / "items.parquet")
    (tmp_path / "items.parquet").touch()
    with pytest.raises(PathError, match=r"descry\[parquet\]"):
        open_embeddings(tmp_path / "items.parquet")
