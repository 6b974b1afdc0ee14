"""Words in photos: read by a package that does (an extra), kept with the photos' facts, and found by search by words.

A photo is read once, apart from its embedding: a library that is there need not be embedded again. What was read is
committed every few photos, so a run can be cut off and go on.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from indexer.chunks import reason
from indexer.errors import EncoderUnavailable, LibraryError, SourceError
from indexer.items import batches
from indexer.library import Library
from indexer.modalities import open_image
from indexer.photos.pixels import upright_rgb
from indexer.report import Watcher
from indexer.storage.files import Failure, Settings, as_stored
from indexer.storage.full_text import Line, Unread
from indexer.threads import ahead
from indexer.walk import mount_point

if TYPE_CHECKING:
    from PIL import Image

MODALITY = "image"

# Pixels of a photo's longer side in which words are read: a page of A4 has 175 dots an inch then.
SIDE = 2048

# Photos that are committed together: a kill costs no more.
BATCH = 16

# What is kept of a photo, lines and letters: more than any page holds.
MOST_LINES, MOST_LETTERS = 300, 20_000

# Probability of a line's letters from which it is believed, and letters or digits that it has at least. Of 80 photos of
# COCO, what is true has .85 and more, and what is seen in leaves and patterns is one letter, or has less.
BELIEVED, LETTERS = 0.8, 2

# The quick test whether there is text at all: pixels of the longer side, and how many of these the detector has to take
# for text with which probability. Of 80 photos of COCO, of which 8 hold text, 39 % pass, among them 7 of the 8; it
# takes 38 ms of a core, reading 124, of a photo of one megapixel 400 to 500.
QUICK_SIDE, QUICK_PIXELS, QUICK_PROBABILITY = 400, 20, 0.6

# Of ImageNet, by which the detector expects its colours.
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

Reader = Callable[["Image.Image"], Sequence[Line]]


def load_reader(name: str | None = None) -> Reader:
    """What reads the lines of text in an upright RGB image: the first of `READERS` that is installed, or one by name.

    Raises `EncoderUnavailable` if its package is not here.
    """
    for package, load in READERS.items():
        if name in (None, package) and find_spec(package):
            return load()
    raise EncoderUnavailable(
        f"Reading the words in photos needs the package {name or next(iter(READERS))}: pip install 'descry[ocr]'."
    )


class Ocrust:
    """PP-OCR by ocrust, on one thread a photo: many are read at once."""

    def __init__(self) -> None:
        import onnxruntime
        from ocrust import Ocr

        # page layout, tables and boxes of single words are not asked for
        self._ocr = Ocr(threads=1, tables=False, word_boxes=False)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self._detector = onnxruntime.InferenceSession(
            str(self._ocr.models["detection"]), options, providers=["CPUExecutionProvider"]
        )

    def __call__(self, image: Image.Image) -> list[Line]:
        """The lines, from the top."""
        if not self.may_hold_text(image):
            return []
        (page,) = self._ocr.scan(image).pages
        boxes = [(line, line.box.as_tuple()) for line in page.lines]
        return [
            Line(line.text, _shares(box, (page.width, page.height)))
            for line, box in boxes
            if line.confidence >= BELIEVED
        ]

    def may_hold_text(self, image: Image.Image) -> bool:
        """The quick test: the detector alone, on a small copy."""
        scale = QUICK_SIDE / max(image.size)
        width, height = (max(32, round(length * scale / 32) * 32) for length in image.size)
        pixels = np.asarray(image.resize((width, height)), np.float32)[..., ::-1] / 255  # it was trained on BGR
        asked = ((pixels - MEAN) / DEVIATION).astype(np.float32).transpose(2, 0, 1)[np.newaxis]  # -> (1, 3, h, w)
        (seen,) = self._detector.run(None, {self._detector.get_inputs()[0].name: asked})
        return int((seen > QUICK_PROBABILITY).sum()) > QUICK_PIXELS


class RapidOcr:
    """PP-OCR by rapidocr."""

    def __init__(self) -> None:
        from rapidocr import RapidOCR

        self._ocr = RapidOCR()

    def __call__(self, image: Image.Image) -> list[Line]:
        """The lines, from the top."""
        found = self._ocr(np.asarray(image)[..., ::-1])  # RGB -> BGR
        if found.boxes is None:
            return []
        return [
            Line(text, _shares((*corners.min(axis=0), *corners.max(axis=0)), image.size))
            for corners, text, score in zip(found.boxes, found.txts, found.scores, strict=True)
            if score >= BELIEVED
        ]


# By the package that has to be there, in the order in which they are tried.
READERS: dict[str, Callable[[], Reader]] = {"ocrust": Ocrust, "rapidocr": RapidOcr}


def _shares(box: Iterable[Any], size: tuple[int, int]) -> tuple[float, float, float, float]:
    """A box in pixels as shares of width and height."""
    left, top, right, bottom = (
        min(max(float(edge) / whole, 0.0), 1.0) for edge, whole in zip(box, (*size, *size), strict=True)
    )
    return left, top, right, bottom


@dataclass(slots=True)
class WordsReport:
    """What a run did, in photos: looked at, how many of these hold words, copies of others, and what failed and why."""

    looked_at: int = 0
    with_words: int = 0
    copied: int = 0
    failures: list[Failure] = field(default_factory=list)
    seconds: float = 0.0
    interrupted: bool = False


def remember(library: Library, paths: Sequence[Path | str], wanted: bool) -> None:
    """Records of roots whether words are to be read in their photos, from now on at every `read_wished`."""
    files = library.catalog.files
    for path in map(as_stored, paths):
        settings = files.settings()
        if settings.get(path, Settings()).ocr == wanted and path in settings:
            continue
        if path not in settings:
            files.add_root(path, mount_point(path))
        files.set_settings(path, replace(files.settings()[path], ocr=wanted))


def read_wished(library: Library, *, watcher: Watcher | None = None) -> WordsReport | None:
    """Reads the words in new photos of the roots for which that is remembered; None if there is nothing to read."""
    settings = library.catalog.files.settings()
    if not library.catalog.words.is_there or not any(own.ocr for own in settings.values()):
        return None

    def is_wished(path: Path) -> bool:
        return next((settings[place].ocr for place in (path, *path.parents) if place in settings), False)

    waiting = [photo for photo in library.catalog.words.unread(MODALITY) if is_wished(photo.path)]
    return _read(library, waiting, watcher or Watcher()) if waiting else None


def read_words(
    library: Library,
    paths: Sequence[Path | str] = (),
    *,
    reader: Reader | None = None,
    watcher: Watcher | None = None,
) -> WordsReport:
    """Reads the words in the library's photos at or below the paths, or in all, that were not looked at yet.

    On Ctrl-C what is done is kept, and the report says that it was interrupted. Raises `EncoderUnavailable` where no
    package reads words, `LibraryLocked` while another process writes.
    """
    places = list(map(as_stored, paths))
    if not library.catalog.words.is_there:
        raise LibraryError(f"The library {library.path} lies on a server, where words in photos are not kept yet.")
    reader = reader or load_reader()
    waiting = [
        photo
        for photo in library.catalog.words.unread(MODALITY)
        if not places or any(photo.path.is_relative_to(place) for place in places)
    ]
    return _read(library, waiting, watcher or Watcher(), reader)


def _read(library: Library, waiting: Sequence[Unread], watcher: Watcher, reader: Reader | None = None) -> WordsReport:
    started, report = time.monotonic(), WordsReport()
    copies = {photo.id: photo.same for photo in waiting if photo.same is not None}
    left = [photo for photo in waiting if photo.same is None]
    reader = reader or (load_reader() if left else None)

    def lines_of(photo: Unread) -> tuple[Unread, Sequence[Line] | Failure]:
        assert reader is not None
        try:
            return photo, _kept(reader(_seen(photo.path)))
        except (OSError, SourceError) as error:
            return photo, Failure(photo.path, reason(error))

    with library.lock():
        if copies:
            with library.catalog.atomic():
                library.catalog.words.copy(copies)
            report.copied = len(copies)
        if left:
            watcher.begin(len(left))
        try:
            for batch in batches(ahead(lines_of, left), BATCH):
                read = {photo.id: lines for photo, lines in batch if not isinstance(lines, Failure)}
                with library.catalog.atomic():
                    library.catalog.words.put(read)
                report.looked_at += len(read)
                report.with_words += sum(map(bool, read.values()))
                for failure in (lines for _, lines in batch if isinstance(lines, Failure)):
                    report.failures.append(failure)
                    watcher.failed(failure)
                watcher.advance(len(batch))
        except KeyboardInterrupt:
            report.interrupted = True
        finally:
            if left:
                watcher.end()
    report.seconds = time.monotonic() - started
    return report


def _seen(path: Path) -> Image.Image:
    """A photo as it is read: upright, its longer side of `SIDE` pixels at most."""
    with open_image(path) as opened:
        seen = upright_rgb(opened, side=SIDE // 2)
    seen.thumbnail((SIDE, SIDE))
    return seen


def _kept(lines: Iterable[Line]) -> list[Line]:
    """The lines that say something, and of very many the first."""
    kept: list[Line] = []
    letters = 0
    for line in lines:
        text = " ".join(line.text.split())
        letters += len(text)
        if sum(map(str.isalnum, text)) >= LETTERS:
            kept.append(Line(text, line.box))
        if len(kept) == MOST_LINES or letters > MOST_LETTERS:
            break
    return kept
