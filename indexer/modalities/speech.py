"""Speech: what is said in sound files and films, as passages whose part is the second at which they begin ("t12.5").

Whisper hears it by faster-whisper, an extra, and only below roots for which that is wished. A sound track is cut into
pieces as long as Whisper hears at once, where it is quiet, so that a recording of any length takes little memory.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from indexer.encoders.open_clip_source import fetch
from indexer.errors import EncoderUnavailable, SourceError, first_line
from indexer.items import Float32Array, Item
from indexer.modalities import video
from indexer.modalities.base import Modality, Reader, ReadOptions
from indexer.modalities.video import decoded, opened, part_at, recording_facts
from indexer.photos.suffixes import FILMS, SOUNDS
from indexer.storage.files import as_stored
from indexer.threads import processors

# The model that hears where no other is named: of a hundred languages, 145 MB.
DEFAULT = "base"

# Samples a second that Whisper takes.
RATE = 16_000

# Seconds that Whisper hears at once, and the last of them in which a piece ends where it is quietest.
PIECE, ENDING = 30, 8

# A pause between sentences, in seconds, and the steps in which the quietest is looked for.
HUSH, STEP = 0.3, 0.1

# Seconds by which the clock of a sound track may jump before that counts as a gap.
GAP = 0.5

# A passage ends with a sentence from so many letters on, with any segment from so many, and at a silence of seconds.
SENTENCE, LONG, PAUSE = 30, 100, 2.0

# Ends a sentence, in Chinese and Japanese too.
END = re.compile(r"[.!?…\u3002\uff01\uff1f]\W*$")

# Whisper's own bounds, beyond which it takes what it heard for a failure: mean log probability, and how well the text
# can be compressed, as what it says over and over can.
LEAST_LOG_PROBABILITY, MOST_COMPRESSION = -1.0, 2.4

# Probability from which on the language that is told of one piece is that of the file.
SURE_OF_LANGUAGE = 0.8

# Passages that are prepared together: with a large model on a busy machine each may take ten seconds.
AT_ONCE = 4

# What is read, by FFmpeg's names, whatever a file's name says.
FORMATS = f"{video.FORMATS},mp3,wav,w64,flac,ogg,aac,amr,aiff,caf"


class Segment(NamedTuple):
    """What was heard from one second to another of a piece."""

    start: float
    end: float
    text: str


class Heard(NamedTuple):
    """What was heard in a piece, its language ("en"), and how sure that is."""

    segments: Sequence[Segment]
    language: str
    probability: float


class Transcriber(Reader, Protocol):
    """What hears speech."""

    def __call__(self, sound: Float32Array, language: str | None) -> Heard:
        """What is said in a piece, `[n]` at `RATE`, in a language if that is known; several threads may ask."""


def read(path: Path, options: ReadOptions) -> Iterator[tuple[Item, str]]:
    """The passages that are said in a sound file or a film, each with its text."""
    told = facts(path, options)
    if told is not None:
        for start, text in passages(path, load_transcriber(options.reader), options):
            yield Item("speech", path, part_at(start), text, told), text


def facts(path: Path, options: ReadOptions) -> dict[str, Any] | None:
    """The facts of all passages of a file; None of a film without sound, or one of which the modality of films says
    what is wrong with it. Raises `SourceError` for a sound file without sound.
    """
    try:
        with closing(opened(path, FORMATS, "a recording")) as container:
            if not container.streams.audio:
                raise SourceError("it holds no sound that can be decoded")
            told: Mapping[str, str] = {**container.streams.audio[0].metadata, **container.metadata}
            return recording_facts(told, container.duration / 1e6 if container.duration else None, options)
    except SourceError:
        if path.suffix.lower() in FILMS:
            return None
        raise


def transcript(path: Path, model: str = "") -> str:
    """All that is said in a file, on one line. Raises `SourceError`, `EncoderUnavailable`."""
    hear, options = load_transcriber(model), ReadOptions(lambda _: True)
    if facts(path, options) is None:
        raise SourceError("it holds no sound that can be decoded")
    return " ".join(text for _, text in passages(path, hear, options))


def passages(path: Path, hear: Transcriber, options: ReadOptions) -> Iterator[tuple[float, str]]:
    """What is said in a file: passages of whole sentences that fit the tower, with the second at which each begins."""
    language: str | None = None
    last = -math.inf
    for start, sound in pieces(path):
        heard = hear(sound, language)
        if heard.segments and heard.probability >= SURE_OF_LANGUAGE:
            language = heard.language
        for passage in _passages(heard.segments, options):
            last = max(start + passage.start, last + 0.001)  # parts are told apart by milliseconds
            yield last, passage.text


def _passages(segments: Iterable[Segment], options: ReadOptions) -> Iterator[Segment]:
    """Segments joined to sentences."""
    joined: Segment | None = None
    for segment in segments:
        if joined is None:
            joined = segment
            continue
        longer = f"{joined.text} {segment.text}"
        length = len(joined.text)
        is_over = length >= LONG or (length >= SENTENCE and END.search(joined.text))
        if is_over or segment.start - joined.end > PAUSE or not options.fits(longer):
            yield joined
            joined = segment
        else:
            joined = Segment(joined.start, segment.end, longer)
    if joined is not None:
        yield joined


def pieces(path: Path) -> Iterator[tuple[float, Float32Array]]:
    """A file's sound `[n]` at `RATE`, of one channel, in pieces of `PIECE` seconds at most, with their seconds.

    What is damaged is passed over.
    """
    start, held = 0.0, np.empty(0, np.float32)
    for time, sound in _sound(path):
        if len(held) and abs(time - start - len(held) / RATE) > GAP:
            yield start, held
            held = held[:0]
        if not len(held) and not math.isnan(time):
            start = time
        held = np.concatenate([held, sound])
        while len(held) >= PIECE * RATE:
            end = _quietest(held[: PIECE * RATE])
            yield start, held[:end]
            start, held = start + end / RATE, held[end:]
    if len(held):
        yield start, held


def _quietest(sound: Float32Array) -> int:
    """The place within the last `ENDING` seconds at which a piece is quietest."""
    step, steps = round(STEP * RATE), round(HUSH / STEP)
    begin = len(sound) - ENDING * RATE
    loudness = np.square(sound[begin:]).reshape(-1, step).mean(axis=1)
    quietest = np.convolve(loudness, np.ones(steps), "valid").argmin()
    return begin + int(quietest) * step + steps * step // 2


def _sound(path: Path) -> Iterator[tuple[float, Float32Array]]:
    """Stretches of sound `[n]` at `RATE`, of about a second each, with their seconds; NaN for what goes on."""
    import av

    with closing(opened(path, FORMATS, "a recording")) as container:
        stream = container.streams.audio[0]
        # the loaders are threads already
        stream.codec_context.thread_type, stream.codec_context.thread_count = "NONE", 1
        begin = float((stream.start_time or 0) * (stream.time_base or 0))
        resampler = av.AudioResampler(format="flt", layout="mono", rate=RATE)
        time, held = math.nan, list[Float32Array]()
        for frame in decoded(container.demux(stream)):
            if not held:
                time = math.nan if frame.time is None else frame.time - begin
            held += [part.to_ndarray()[0] for part in resampler.resample(frame)]
            if sum(map(len, held)) >= RATE:
                yield time, np.concatenate(held)
                held = []
        held += [part.to_ndarray()[0] for part in resampler.resample(None)]
        if held:
            yield math.nan, np.concatenate(held)


@lru_cache(1)
def load_transcriber(model: str) -> Transcriber:
    """What hears speech by a Whisper model in CTranslate2's form: its folder, its name, or its address on the hub.

    Raises `EncoderUnavailable`, naming what is missing.
    """
    if not find_spec("faster_whisper"):
        raise EncoderUnavailable("Hearing what is said needs the package faster-whisper: pip install 'descry[speech]'.")
    return Whisper(model or DEFAULT)


class Whisper:
    """A Whisper model, which hears as many pieces at once as there are processors, each on one thread."""

    def __init__(self, model: str) -> None:
        from faster_whisper import WhisperModel
        from faster_whisper.utils import _MODELS  # what it calls models, with their addresses

        place = Path(model).expanduser()
        self.name = str(as_stored(place)) if place.is_dir() else model
        remedy = "give the folder of one that is here by --speech-model"
        how: dict[str, Any] = {"compute_type": "int8", "cpu_threads": 1, "num_workers": processors()}
        if not place.is_dir():
            if model not in _MODELS and "/" not in model:
                raise EncoderUnavailable(
                    f"There is neither a folder {model} nor a Whisper model of that name: "
                    f"{', '.join(name for name in _MODELS if '.' not in name)} are some; or {remedy}."
                )
            fetch(_MODELS.get(model, model), ("model.bin",), remedy=f"{remedy}.")
        try:
            self._model = WhisperModel(self.name, **how)
        except (OSError, RuntimeError, ValueError) as error:
            raise EncoderUnavailable(
                f"{model} is no Whisper model that can be used ({first_line(error)}): it has to be one in "
                "CTranslate2's form, as those of Systran on the hub."
            ) from error

    def __call__(self, sound: Float32Array, language: str | None) -> Heard:
        """What is said in a piece; what is not speech is left out first."""
        segments, info = self._model.transcribe(
            sound, language=language, vad_filter=True, condition_on_previous_text=False, temperature=0.0
        )
        heard = [
            Segment(one.start, one.end, " ".join(one.text.split()))
            for one in segments
            if one.avg_logprob >= LEAST_LOG_PROBABILITY and one.compression_ratio <= MOST_COMPRESSION
        ]
        said = [segment for segment in heard if any(map(str.isalnum, segment.text))]
        return Heard(said, info.language, info.language_probability)


SPEECH = Modality(
    "speech",
    "text",
    SOUNDS | FILMS,
    read,
    facts_version="1",
    at_once=AT_ONCE,
    facts=facts,
    load=load_transcriber,
)
