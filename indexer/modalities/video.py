"""Films: an item a shot, whose part is the second at which it begins, as in "t12.5". PyAV, an extra, decodes them.

Looked at are key frames, which encoders put where the picture changes, and between those that are far apart frames of
a grid. A look that shows what the shot before it shows is dropped once its vector is known: `Modality.same_item`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing, suppress
from datetime import datetime
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from indexer.errors import SourceError, reason_of
from indexer.items import Item
from indexer.modalities import image
from indexer.modalities.base import Modality, ReadOptions
from indexer.modalities.text import photo_beside
from indexer.photos.facts import camera_name, local_time, moment
from indexer.photos.memory import BUDGET
from indexer.photos.opening import check_pixels
from indexer.photos.sidecars import sidecar_facts, sidecar_owners
from indexer.photos.suffixes import FILMS
from indexer.places import place_names

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream
    from PIL import Image

# Seconds between two looks: at least, and at most where no key frame comes.
LEAST_APART, GRID = 0.5, 4.0

# Far behind a key frame the grid is coarser, a share of the way up to so many seconds: all frames since then are
# decoded again when a film is gone on with. One of an hour with a single key frame is decoded twice in all.
GRID_SHARE, COARSEST = 1 / 15, 30.0

# Looks at one film, evenly spread: at 30 ms of a core each, a film of any length takes a minute.
MOST_LOOKS = 2000

# Looks that are prepared together. Between them a film is closed: many may wait for their turn.
AT_ONCE = 64

# Cosine from which a look shows what the shot before it shows. `python -m evaluation films`: all of 100 shots found,
# 133 items; at .8 99 and 101. The higher one, as real films cut between views of one place.
SAME_SHOT = 0.9

# Seconds that the film of a Live Photo is shorter than; it lies beside its photo.
LIVE_PHOTO = 4.0

# Pixels of an image's shorter side at most: encoders look at 224 to 448, the page shows little more.
SIDE = 768

# Bytes a pixel that two decoders of one film hold: 25 measured for H.264, 30 for HEVC, both of 3840 x 2160.
BYTES_A_PIXEL = 40

# What is read, by FFmpeg's names, whatever a file's name says: playlists, for one, would lead to other files.
FORMATS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpeg,mpegts,asf"

# Clocks that were never set are before this year: QuickTime counts from 1904, others from 1970.
FIRST_YEAR = 1971

# ISO 6709, as in "+52.5163+013.3777+034.000/": degrees, degrees and minutes, or these and seconds.
PLACE = re.compile(r"\s*([+-])(\d\d)(\d\d)?(\d\d)?(\.\d*)?([+-])(\d{3})(\d\d)?(\d\d)?(\.\d*)?(?!\d)")

Look = tuple[float, "Image.Image"]


def read(path: Path, options: ReadOptions) -> Iterator[tuple[Item, Image.Image]]:
    """The looks at a film, each with its image; none at the film of a Live Photo, which belongs to its photo."""
    with _Film(path) as film:
        facts, duration = film.facts(options), film.duration
        held = BYTES_A_PIXEL * film.stream.width * film.stream.height
    if facts is None:
        return
    apart = max(LEAST_APART, (duration or 0) / MOST_LOOKS)
    count, end = 0, None
    while count < MOST_LOOKS:
        with BUDGET.lent(held), closing(_looks(path, apart, end)) as looks:
            for end, image in islice(looks, AT_ONCE - 1):
                yield Item("video", path, part_at(end), facts=facts), image
            last = next(looks, None)
        if last is None:
            break
        count += AT_ONCE
        end, image = last
        yield Item("video", path, part_at(end), facts=facts), image
    if duration and (end or 0) + apart + max(COARSEST, apart) < duration:
        options.note(f"its pictures end at {end:.0f} of {duration:.0f} seconds")


def facts(path: Path, options: ReadOptions) -> dict[str, Any] | None:
    """The facts of all shots of a film; None of that of a Live Photo."""
    with _Film(path) as film:
        return film.facts(options)


def part_at(seconds: float) -> str:
    """The part that begins at a time.

    >>> part_at(12.5), part_at(0.0), part_at(4.04040404)
    ('t12.5', 't0', 't4.04')
    """
    return f"t{seconds:.3f}".rstrip("0").rstrip(".")


def open_image(path: Path, part: str) -> Image.Image:
    """The frame with which a shot begins. Raises `SourceError` for a film that has none there."""
    start = float(part.removeprefix("t")) - 0.001  # parts are rounded
    with _Film(path) as film:
        for time, frame in film.frames("NONREF", start):
            if time >= start:
                return film.image(frame)
    raise SourceError(f"it has no picture at {part.removeprefix('t')} seconds")


def _looks(path: Path, apart: float, after: float | None) -> Generator[Look, None, None]:
    """The times of key frames, at least `apart` seconds, and of a grid between them, `after` one, with pictures."""
    last, key = after, 0.0
    with _Film(path) as film, _Film(path) as between:
        for time, frame in chain(film.frames("NONKEY", after or 0.0), [(math.inf, None)]):
            if (last is not None or frame is None) and (last is None or time > last):
                for look in _grid(between, key, last, time - apart, apart):
                    last = look[0]
                    yield look
            if frame is not None and (last is None or time - last >= apart):
                last = time
                yield time, film.image(frame)
            key = time


def _grid(film: _Film, key: float, last: float | None, end: float, apart: float) -> Iterator[Look]:
    """Looks behind a key frame, the first of them a step behind the last look, up to a time."""

    def after(time: float) -> float:
        return time + max(GRID, apart, min((time - key) * GRID_SHARE, COARSEST))

    due = 0.0 if last is None else after(last)
    if due > min(end, film.duration or math.inf):
        return
    for time, frame in film.frames("NONREF", key):
        if time > end:
            return
        if time >= due:
            yield time, film.image(frame)
            due = after(time)


class _Film:
    """A film that is open, for use in a `with`. Raises `SourceError` for what is none."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._container = opened(path, FORMATS, "a film")
        try:
            self.stream = self._pictures()
            check_pixels(self.stream.width, self.stream.height)
        except BaseException:
            self._container.close()
            raise
        # the loaders are threads already
        self.stream.thread_type, self.stream.thread_count = "NONE", 1
        self._begin = float((self.stream.start_time or 0) * self._unit)

    def _pictures(self) -> VideoStream:
        from av.stream import Disposition

        tracks = [track for track in self._container.streams.video if Disposition.attached_pic not in track.disposition]
        if not tracks or not tracks[0].codec_context:
            raise SourceError("it holds no pictures that can be decoded")
        return tracks[0]

    def __enter__(self) -> _Film:
        return self

    def __exit__(self, *_: object) -> None:
        self._container.close()

    @property
    def _unit(self) -> Any:
        return self.stream.time_base or 0

    @property
    def duration(self) -> float | None:
        """Seconds, as far as the file tells."""
        told = self.stream.duration
        whole = self._container.duration
        if told and told > 0:
            return float(told * self._unit)
        return whole / 1e6 if whole and whole > 0 else None

    def frames(self, skip: Literal["NONKEY", "NONREF"], start: float = 0.0) -> Iterator[tuple[float, VideoFrame]]:
        """Frames with their times in seconds, from the last key frame before a time on, without those of a kind.

        What is damaged is passed over.
        """
        from av import FFmpegError

        self.stream.codec_context.skip_frame = skip
        with suppress(FFmpegError):  # there is no way back in some damaged ones
            self._container.seek(int((start + self._begin) / self._unit), stream=self.stream)
        for frame in decoded(self._container.demux(self.stream)):
            stamp = frame.dts if frame.pts is None else frame.pts
            if stamp is not None:
                yield float(stamp * self._unit) - self._begin, frame

    def image(self, frame: VideoFrame) -> Image.Image:
        """A frame as it is meant to be seen: its pixels square, upright, `SIDE` pixels on the shorter side at most."""
        width, height = self._size(frame)
        scale = min(1.0, SIDE / max(1, min(width, height)))
        size = max(1, round(width * scale)), max(1, round(height * scale))
        scaled = frame.reformat(width=size[0], height=size[1], format="rgb24", interpolation="AREA")
        image: Image.Image = scaled.to_image()  # type: ignore[no-untyped-call]
        return image.rotate(frame.rotation, expand=True) if frame.rotation % 360 else image

    def _size(self, frame: VideoFrame) -> tuple[int, int]:
        """Width and height of a frame once its pixels are square, not yet upright."""
        shape = float(self.stream.sample_aspect_ratio or 1)
        return max(1, round(frame.width * shape)), frame.height

    def facts(self, options: ReadOptions) -> dict[str, Any] | None:
        """Width and height (upright), duration, taken, camera and place, as far as the film or a sidecar tells.

        None where it is a Live Photo's.
        """
        if self.duration and self.duration < LIVE_PHOTO and photo_beside(self._path):
            return None
        _, frame = next(self.frames("NONREF"), (0.0, None))
        if frame is None:
            raise SourceError("it holds no pictures that can be decoded")
        width, height = self._size(frame)[:: -1 if frame.rotation % 180 else 1]
        told = {**self.stream.metadata, **self._container.metadata}
        return recording_facts(told, self.duration, options) | {"width": width, "height": height}


def recording_facts(told: Mapping[str, str], duration: float | None, options: ReadOptions) -> dict[str, Any]:
    """Duration, taken, camera and place of a recording, as its metadata or a sidecar tell."""
    own = {"duration": round(duration, 1) if duration else None, **film_facts(told)}
    facts = {name: value for name, value in own.items() if value not in (None, "")}
    for sidecar in options.sidecars:
        facts = sidecar_facts(sidecar) | facts
    return facts | place_names(facts)


def film_facts(metadata: Mapping[str, str]) -> dict[str, Any]:
    """What metadata say of when, with what and where a film was taken."""
    told = {name.lower(): value for name, value in metadata.items()}

    def first(*names: str) -> str | None:
        return next((told[name] for name in names if told.get(name)), None)

    return {
        "taken": _taken(told),
        "camera": camera_name(
            first("com.apple.quicktime.make", "com.android.manufacturer", "make"),
            first("com.apple.quicktime.model", "com.android.model", "model"),
        ),
        **_place(first("com.apple.quicktime.location.iso6709", "location", "location-eng") or ""),
    }


def _taken(told: Mapping[str, str]) -> str | None:
    """When it was taken, by the clock there; QuickTime's own time is UTC, and is told by the clock here."""
    there = moment(told.get("com.apple.quicktime.creationdate"))
    if there is None:
        with suppress(KeyError, ValueError, OverflowError):
            made = datetime.fromisoformat(told["creation_time"])
            there = local_time(made.timestamp()) if made.year >= FIRST_YEAR else None
    there = there or moment(told.get("date"))
    return there if there and int(there[:4]) >= FIRST_YEAR else None


def _place(text: str) -> dict[str, float]:
    """Latitude and longitude in degrees.

    >>> _place("+5230.6+01322-034/"), _place("-33.8568+151.2153/"), _place("+00.0000+000.0000/"), _place("?")
    ({'latitude': 52.51, 'longitude': 13.366667}, {'latitude': -33.8568, 'longitude': 151.2153}, {}, {})
    """
    found = PLACE.match(text)
    if not found:
        return {}
    north, east = (_degrees(*found.groups()[start : start + 5]) for start in (0, 5))
    return {"latitude": north, "longitude": east} if (north or east) and abs(north) <= 90 and abs(east) <= 180 else {}


def _degrees(sign: str, degrees: str, minutes: str | None, seconds: str | None, rest: str | None) -> float:
    """Degrees with a sign; the rest is that of the last number that is there."""
    numbers = [number for number in (degrees, minutes, seconds) if number]
    numbers[-1] += rest or ""
    total = sum(float(number) / 60.0**power for power, number in enumerate(numbers))
    return round(-total if sign == "-" else total, 6)


def opened(path: Path, formats: str, what: str) -> InputContainer:
    """A file of one of FFmpeg's formats, open. Raises `SourceError`, which says that it is not `what` it should be."""
    import av  # late: it takes 80 ms, and is an extra

    try:
        return av.open(str(path.absolute()), metadata_errors="replace", options={"format_whitelist": formats})
    except OSError as error:
        raise SourceError(reason_of(error)) from error
    except (av.FFmpegError, ValueError) as error:
        is_empty = path.stat().st_size == 0
        raise SourceError("it is empty" if is_empty else f"it is not {what} in any format that can be read") from error


def decoded(packets: Iterator[Packet[Any]]) -> Iterator[Any]:
    """The frames of packets, without what is damaged."""
    from av import FFmpegError

    while True:
        try:
            frames = next(packets).decode()
        except StopIteration:
            return
        except FFmpegError:
            continue
        yield from frames


VIDEO = Modality(
    "video",
    "image",
    FILMS,
    read,
    beside=frozenset({image.IMAGE.name}),
    facts_version="1",
    sidecars=sidecar_owners,
    same_item=SAME_SHOT,
    open_image=open_image,
    at_once=AT_ONCE,
    facts=facts,
)
