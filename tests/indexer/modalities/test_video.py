"""Films: the shots of known cuts, at their seconds, upright, with their facts; and all that can be wrong with one."""

from __future__ import annotations

import random
import struct
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from painting import later, paint
from PIL import Image

from indexer import Encoder, Library, index_sources, load_encoder
from indexer.encoders.base import Encoder as AnyEncoder
from indexer.encoders.ensemble import JoinedTower
from indexer.errors import PathError, SourceError
from indexer.modalities import MODALITIES, open_image, video
from indexer.modalities.base import ReadOptions
from indexer.reembedding import reembed
from indexer.testing import PictureColors, WordColors
from search.engine import Engine
from search.filters import Filter
from search.query import like, parse

pytest.importorskip("av", reason="PyAV is not installed: pip install 'descry[video]'")
from films import film

FLICKR8K = Path(__file__).parents[4] / "shared" / "data" / "flickr8k"
COLORS = ("red", "green", "blue")


def look(path: Path, **options: object) -> list[tuple[str, tuple[int, ...]]]:
    """The looks at a film: their parts, and the colour in the middle to the nearest 32."""
    asked = ReadOptions(lambda _: True)._replace(**options)
    return [(item.part, colour(value)) for item, value in video.read(path, asked)]


def colour(image: Image.Image, place: tuple[float, float] = (0.5, 0.5)) -> tuple[int, ...]:
    pixel = image.getpixel((int(image.width * place[0]), int(image.height * place[1])))
    assert isinstance(pixel, tuple)
    return tuple(round(value / 127.5) for value in pixel)


RED, GREEN, BLUE = (2, 0, 0), (0, 1, 0), (0, 0, 2)


def facts(path: Path, **options: object) -> dict[str, object]:
    asked = ReadOptions(lambda _: True)._replace(**options)
    item, _ = next(video.read(path, asked))
    return dict(item.facts)


def shots(library: Library) -> dict[str, str]:
    """The shots of the library: file and part, by the order of their ids."""
    return {
        f"{item.path.name} {item.part}": item.modality
        for item in library.catalog.items(library.catalog.all_ids())
        if item.modality == "video"
    }


# what is looked at


@pytest.mark.parametrize(
    ("name", "codec"),
    [("a.mp4", "libx264"), ("a.MOV", "libx264"), ("a.mkv", "libx264"), ("a.avi", "mpeg4"), ("a.m4v", "mpeg4")],
)
def test_a_look_at_each_cut(name: str, codec: str, tmp_path: Path) -> None:
    lower = film(tmp_path / name.lower(), COLORS, [2, 3.3, 1], codec=codec)
    path = lower.rename(tmp_path / name)
    assert look(path) == [("t0", RED), ("t2", GREEN), ("t5.3", BLUE)]


def test_between_key_frames_that_are_far_apart_comes_a_look_every_four_seconds(tmp_path: Path) -> None:
    path = film(tmp_path / "long.mp4", COLORS, [5, 13, 1.5], cuts=False, keys=1000)
    assert [part for part, _ in look(path)] == ["t0", "t4", "t8", "t12", "t16"]
    path = film(tmp_path / "regular.mp4", COLORS, [5, 13, 1.5], cuts=False, keys=90)
    assert [part for part, _ in look(path)] == ["t0", "t4", "t8", "t9", "t13", "t17", "t18"]


def test_key_frames_that_are_close_together_are_passed_over(tmp_path: Path) -> None:
    every = [part for part, _ in look(film(tmp_path / "intra.mp4", ["red"], 2, keys=1))]
    assert every == ["t0", "t0.5", "t1", "t1.5"]


def test_a_film_that_tells_no_duration_is_looked_at_to_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(video._Film, "duration", None)
    path = film(tmp_path / "endless.mp4", ["red", "blue"], [9, 1], cuts=False, keys=1000)
    assert [part for part, _ in look(path)] == ["t0", "t4", "t8"]


@pytest.mark.parametrize("keys", [7, 1000])
@pytest.mark.parametrize("at_once", [1, 2, 3])
def test_a_film_that_is_gone_on_with_shows_the_same(
    at_once: int, keys: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = film(tmp_path / "film.mp4", [*COLORS, "white"], [5, 3.3, 6, 5], keys=keys)
    whole = look(path)
    monkeypatch.setattr(video, "AT_ONCE", at_once)
    assert look(path) == whole
    assert len(whole) > 5


def test_no_film_is_looked_at_too_often(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = film(tmp_path / "film.mp4", ["red"] * 2, 10, keys=1)
    assert len(look(path)) == 40
    monkeypatch.setattr(video, "MOST_LOOKS", 10)
    assert len(look(path)) == 10
    assert [part for part, _ in look(path)][::9] == ["t0", "t18"]


def test_every_part_can_be_shown_by_itself(tmp_path: Path) -> None:
    path = film(tmp_path / "film.mp4", COLORS, [5.1, 3.3, 6], keys=17)
    for item, value in video.read(path, ReadOptions(lambda _: True)):
        assert np.array_equal(np.asarray(open_image(path, item.part)), np.asarray(value)), item.part
    with pytest.raises(SourceError, match="no picture at 99 seconds"):
        open_image(path, "t99")


def test_large_pictures_come_small_and_pixels_that_are_not_square_as_they_are_meant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(video, "SIDE", 48)
    path = film(tmp_path / "film.mp4", ["red"])
    assert open_image(path, "t0").size == (64, 48)
    assert facts(path)["width"] == 128


# upright


def turned(path: Path, degrees: int) -> Path:
    """Has a film say in QuickTime's way, as phones do, that its frames are to be turned clockwise."""
    matrices = {90: (0, 1, -1, 0), 180: (-1, 0, 0, -1), 270: (0, -1, 1, 0)}
    content = bytearray(path.read_bytes())
    place = content.index(b"tkhd") + 4 + 40  # behind version, times, ids and volume
    a, b, c, d = matrices[degrees]
    unit = 1 << 16
    content[place : place + 36] = struct.pack(">9i", a * unit, b * unit, 0, c * unit, d * unit, 0, 0, 0, 1 << 30)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(("degrees", "size", "red"), [(90, (96, 128), 0), (180, (128, 96), 3), (270, (96, 128), 2)])
def test_films_of_phones_stand_upright(degrees: int, size: tuple[int, int], red: int, tmp_path: Path) -> None:
    """The corner that is stored at the bottom on the left comes to stand where a clockwise turn takes it."""
    stored = Image.new("RGB", (128, 96), "blue")
    stored.paste("red", (0, 48, 64, 96))
    path = turned(film(tmp_path / "phone.mp4", [stored]), degrees)
    seen = open_image(path, "t0")
    corners = [(0.25, 0.25), (0.75, 0.25), (0.75, 0.75), (0.25, 0.75)]  # clockwise from the top on the left
    assert seen.size == size
    assert [colour(seen, corner) == RED for corner in corners].index(True) == {0: 0, 3: 1, 2: 2}[red]
    assert (facts(path)["width"], facts(path)["height"]) == size


# facts

QUICKTIME = {
    "com.apple.quicktime.creationdate": "2023-07-01T12:30:05+0900",
    "com.apple.quicktime.location.ISO6709": "+52.5163+013.3777+034.000/",
    "com.apple.quicktime.make": "Apple",
    "com.apple.quicktime.model": "iPhone 15",
}


def test_what_a_phone_tells_of_a_film(tmp_path: Path) -> None:
    assert facts(film(tmp_path / "phone.mov", ["red"], 6.3, told=QUICKTIME)) == {
        "width": 128,
        "height": 96,
        "duration": 6.3,
        "taken": "2023-07-01T12:30:05",
        "camera": "Apple iPhone 15",
        "latitude": 52.5163,
        "longitude": 13.3777,
        "city": "Berlin",
        "country": "Germany",
    }


@pytest.mark.parametrize(
    ("told", "taken"),
    [
        ({"creation_time": "2023-07-01T10:30:00.000000Z"}, "2023-07-01T12:30:00"),
        ({"creation_time": "1904-01-01T00:00:00.000000Z"}, None),
        ({"creation_time": "1970-01-01T00:00:00Z", "date": "2020-02-03"}, "2020-02-03T00:00:00"),
        ({"creation_time": "nonsense", "date": "nonsense"}, None),
        ({}, None),
    ],
)
def test_when_a_film_was_taken(told: dict[str, str], taken: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    try:
        assert video.film_facts(told)["taken"] == taken
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize("place", ["", "+91.0+013.0/", "somewhere", "+1+2/", "+52.5"])
def test_a_place_that_is_none_is_left_out(place: str) -> None:
    assert "latitude" not in video.film_facts({"location": place})


def test_what_google_takeout_tells_of_a_film(library: Library, encoder: Encoder, photos: Path) -> None:
    film(photos / "a.mp4", ["red"])
    (photos / "a.mp4.json").write_text(
        '{"photoTakenTime": {"timestamp": "1600000000"}, "geoData": {"latitude": 48.14, "longitude": 11.58}}'
    )
    assert index_sources(library, [photos], encoder).embedded == 1
    (item,) = library.catalog.items(library.catalog.all_ids())
    assert (item.modality, item.facts["city"], item.facts["taken"][:10]) == ("video", "Munich", "2020-09-13")


# Live Photos


def test_the_film_of_a_live_photo_belongs_to_its_photo(library: Library, photos: Path, encoder: Encoder) -> None:
    paint(photos / "IMG_1.jpg")
    for name, length in (("IMG_1.MOV", 3), ("IMG_2.MOV", 3), ("img_3.MOV", 5)):
        film(photos / "new.mov", ["red"], length).rename(photos / name)
    paint(photos / "IMG_3.png", "blue")
    report = index_sources(library, [photos], encoder)
    assert (report.failures, report.notes) == ([], [])
    assert list(shots(library)) == ["IMG_2.MOV t0", "img_3.MOV t0"]
    paint(photos / "IMG_2.heic.png")  # another stem
    paint(photos / "IMG_2.png")
    (photos / "IMG_1.jpg").unlink()
    index_sources(library, [photos], encoder)
    assert sorted(shots(library)) == ["IMG_1.MOV t0", "img_3.MOV t0"]
    report = index_sources(library, [photos], encoder)
    assert (report.embedded, report.unchanged) == (0, 6)


# what is wrong


def test_what_is_no_film_is_named_and_the_others_are_indexed(library: Library, photos: Path, encoder: Encoder) -> None:
    whole = film(photos / "good.mp4", COLORS)
    (photos / "empty.mp4").touch()
    (photos / "text.mkv").write_text("no film at all\n" * 50)
    (photos / "half.mp4").write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    (photos / "list.mp4").write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{whole}\n#EXT-X-ENDLIST\n")
    (photos / "joined.avi").write_text(f"ffconcat version 1.0\nfile {whole}\n")
    sound(photos / "sound.mp4")
    report = index_sources(library, [photos], encoder)
    assert {failure.path.name: failure.reason for failure in report.failures} == {
        "empty.mp4": "it is empty",
        "text.mkv": "it is not a film in any format that can be read",
        "half.mp4": "it is not a film in any format that can be read",
        "list.mp4": "it is not a film in any format that can be read",
        "joined.avi": "it is not a film in any format that can be read",
        "sound.mp4": "it holds no pictures that can be decoded",
    }
    assert set(shots(library)) == {"good.mp4 t0", "good.mp4 t2", "good.mp4 t4"}
    assert index_sources(library, [photos], encoder).old_failures == 6


def sound(path: Path) -> None:
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=44100, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.rate = 44100
        for packet in (*stream.encode(frame), *stream.encode()):
            container.mux(packet)


def test_a_film_that_was_cut_off_is_found_as_far_as_it_goes_and_a_note_says_so(tmp_path: Path) -> None:
    whole = film(tmp_path / "whole.mkv", [Image.effect_noise((128, 96), 90)] * 20, 4)
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 4])
    notes: list[str] = []
    parts = [part for part, _ in look(cut, note=notes.append)]
    assert 2 < len(parts) < 15
    (note,) = notes
    assert note.startswith("its pictures end at") and note.endswith("of 80 seconds")


def test_damage_in_the_middle_costs_what_is_damaged(tmp_path: Path) -> None:
    path = film(tmp_path / "film.mp4", [Image.effect_noise((128, 96), 90), *COLORS], 2)
    content = bytearray(path.read_bytes())
    place = content.index(b"mdat") + 300
    content[place : place + 2000] = random.Random(0).randbytes(2000)
    path.write_bytes(content)
    assert look(path)[-3:] == [("t2", RED), ("t4", GREEN), ("t6", BLUE)]


def test_a_film_of_too_many_pixels_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = film(tmp_path / "film.mp4", ["red"])
    monkeypatch.setattr(video.BUDGET, "total", 1000)
    with pytest.raises(SourceError, match="--max-memory raises it"):
        look(path)
    monkeypatch.setattr(video.BUDGET, "pixels", 10_000)
    with pytest.raises(SourceError, match="--max-megapixels raises it"):
        look(path)


def test_random_bytes_in_films_never_end_a_run(tmp_path: Path) -> None:
    content = film(tmp_path / "film.mp4", COLORS).read_bytes()
    for seed in range(40):
        chance = random.Random(seed)
        broken = bytearray(content)
        for _ in range(chance.choice([1, 5, 50])):
            broken[chance.randrange(len(broken))] = chance.randrange(256)
        path = tmp_path / f"{seed}.mp4"
        path.write_bytes(broken)
        try:
            look(path)
        except SourceError:
            continue


# in a library


def parts(library: Library, encoder: Encoder, question: str, **options: object) -> list[str]:
    asked = parse(question, wanted="video", k=1, **options)  # type: ignore[arg-type]
    return [hit.item.part for hit in Engine(library, encoder).search(asked)]


@pytest.fixture
def filmed(library: Library, photos: Path, encoder: Encoder) -> Library:
    """A film of three colours, of which one comes again, and each shot is looked at several times."""
    film(photos / "film.mp4", ["red", "green", "blue", "green"], [9, 1.7, 2, 3], keys=10)
    paint(photos / "yellow.png", "yellow")
    assert index_sources(library, [photos], encoder).embedded == 2
    return library


def test_shots_are_items_and_looks_that_show_the_same_are_none(filmed: Library) -> None:
    assert shots(filmed) == dict.fromkeys(["film.mp4 t0", "film.mp4 t9", "film.mp4 t10.7", "film.mp4 t12.7"], "video")


def test_the_right_second_is_found(filmed: Library, encoder: Encoder) -> None:
    assert parts(filmed, encoder, "red") == ["t0"]
    assert parts(filmed, encoder, "blue") == ["t10.7"]
    assert parts(filmed, encoder, "green -blue") == ["t9"]


def test_shots_are_the_same_however_many_looks_are_prepared_together(
    library: Library, photos: Path, encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(video, "AT_ONCE", 2)
    monkeypatch.setitem(MODALITIES, "video", replace(video.VIDEO, at_once=2))
    film(photos / "film.mp4", ["red", "green", "blue", "green"], [9, 1.7, 2, 3], keys=10)
    index_sources(library, [photos], encoder)
    assert list(shots(library)) == ["film.mp4 t0", "film.mp4 t9", "film.mp4 t10.7", "film.mp4 t12.7"]


def test_a_film_that_is_unchanged_moved_or_copied_is_not_embedded_again(
    filmed: Library, photos: Path, encoder: Encoder
) -> None:
    before = {item.part: item.id for item in filmed.catalog.items(filmed.catalog.all_ids())}
    assert index_sources(filmed, [photos], encoder).unchanged == 2
    later(photos / "film.mp4")
    assert index_sources(filmed, [photos], encoder).unchanged == 2
    (photos / "film.mp4").rename(photos / "moved.mp4")
    report = index_sources(filmed, [photos], encoder)
    assert (report.moved, report.embedded) == (1, 0)
    assert {item.part: item.id for item in filmed.catalog.items(filmed.catalog.all_ids())} == before
    (photos / "copy.mp4").write_bytes((photos / "moved.mp4").read_bytes())
    report = index_sources(filmed, [photos], encoder)
    assert (report.copied, report.embedded) == (1, 0)
    assert [name for name in shots(filmed) if "copy" in name] == [
        f"copy.mp4 {part}" for part in ("t0", "t9", "t10.7", "t12.7")
    ]


def test_facts_are_read_anew_without_embedding(
    filmed: Library, photos: Path, encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    newer = replace(video.VIDEO, facts_version="2", facts=lambda *_: {"new": 1})
    monkeypatch.setitem(MODALITIES, "video", newer)
    before = filmed.catalog.all_ids()
    assert index_sources(filmed, [photos], encoder).embedded == 0
    assert filmed.catalog.all_ids() == before
    assert [item.facts.get("new") for item in filmed.catalog.items(before) if item.part] == [1] * 4


def test_a_film_that_has_changed_is_indexed_anew(filmed: Library, photos: Path, encoder: Encoder) -> None:
    film(photos / "film.mp4", ["blue", "red"])
    later(photos / "film.mp4")
    index_sources(filmed, [photos], encoder)
    assert list(shots(filmed)) == ["film.mp4 t0", "film.mp4 t2"]
    assert parts(filmed, encoder, "blue") == ["t0"]


def test_it_goes_with_its_file(filmed: Library, photos: Path, encoder: Encoder) -> None:
    (photos / "film.mp4").unlink()
    assert index_sources(filmed, [photos], encoder).removed == 1
    assert shots(filmed) == {}


def test_it_is_embedded_anew_by_another_encoder(filmed: Library) -> None:
    towers = {"image": JoinedTower([PictureColors()] * 2, [1, 1]), "text": JoinedTower([WordColors()] * 2, [1, 1])}
    other = AnyEncoder("twice", 8, "1", {name: lambda tower=tower: tower for name, tower in towers.items()})
    before = filmed.catalog.all_ids()
    assert reembed(filmed, other).embedded == 5
    assert filmed.catalog.all_ids() == before
    assert parts(filmed, other, "blue") == ["t10.7"]


def test_a_film_is_a_question_and_a_shot_finds_its_like(filmed: Library, photos: Path, encoder: Encoder) -> None:
    film(photos / "question.mov", ["yellow"])
    (hit,) = Engine(filmed, encoder).search(like(photos / "question.mov", wanted="image"))
    assert hit.item.path.name == "yellow.png"
    blue = next(item.id for item in filmed.catalog.items(filmed.catalog.all_ids()) if item.part == "t10.7")
    (hit, *_) = Engine(filmed, encoder).search(like(f"id:{blue}", wanted="video"))
    assert hit.item.part in ("t9", "t12.7")


def test_filters_and_lists_know_shots(library: Library, photos: Path, encoder: Encoder) -> None:
    film(photos / "phone.mov", COLORS, told=QUICKTIME)
    film(photos / "other.mp4", ["red"])
    index_sources(library, [photos], encoder)
    engine = Engine(library, encoder)
    assert len(engine.browse("video")) == 4
    for field, value in (("camera", "iphone 15"), ("near", "52.5,13.4"), ("on", "2023-07"), ("type", "mov")):
        assert {hit.item.path.name for hit in engine.browse("video", filters=[Filter(field, value)])} == {"phone.mov"}


# without the extra


def test_without_the_extra_films_are_passed_over_and_the_remedy_is_named(
    library: Library, photos: Path, encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    from search.status import of_no_kind

    monkeypatch.delitem(MODALITIES, "video")
    path = film(photos / "a.mp4", ["red"])
    path.rename(photos / "a.MP4")
    report = index_sources(library, [photos], encoder)
    assert report.passed_over == {".MP4": 1}
    assert of_no_kind(report.passed_over).endswith("`pip install 'descry[video]'` gets what reads .MP4")
    with pytest.raises(PathError, match=r"`pip install 'descry\[video\]'` gets what reads it"):
        index_sources(library, [photos / "a.MP4"], encoder)
    monkeypatch.undo()
    assert index_sources(library, [photos], encoder).embedded == 1


def test_the_row_is_there_only_with_the_package() -> None:
    code = (
        "import importlib.util as u; find = u.find_spec\n"
        "u.find_spec = lambda name, *rest: None if name in ('av', 'faster_whisper') else find(name, *rest)\n"
        "from indexer.modalities import MODALITIES; print(*MODALITIES)"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"video", "speech"} & set(told.stdout.split())


# with the shipped encoder and real photos


@pytest.mark.skipif(not FLICKR8K.is_dir(), reason="needs Flickr8k in ../shared/data")
def test_of_real_photos_the_shots_are_found_and_each_by_its_caption(tmp_path: Path) -> None:
    from evaluation.datasets import read_captioned
    from evaluation.films import found, look, make_film

    examples = [example for example in read_captioned(FLICKR8K) if example.split == "val"][::80]
    path = tmp_path / "film.mp4"
    encoder = load_encoder()
    cuts = make_film(path, [example.image() for example in examples], (160, 120, 6))
    asked = encoder.embed("text", [example.captions[0] for example in examples])
    told = found(look(encoder, path), cuts, asked, same=video.SAME_SHOT)
    assert len(cuts) == 13
    assert told["shots found"] >= 0.9
    assert told["right second first"] >= 0.5  # by chance 0.08
    assert told["items"] <= 40
