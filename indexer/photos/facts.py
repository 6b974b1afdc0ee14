"""What is known of a photo beside its pixels: when, where and with what it was taken, and what was written about it.

Pillow reads EXIF and IPTC, the standard library XMP; the values are read here, in all the ways in which cameras,
phones, scanners and programs write them. What a photo does not say, or says wrongly, is left out.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, cast
from xml.etree import ElementTree

from PIL import ExifTags, Image, IptcImagePlugin
from PIL.ImageFile import ImageFile
from PIL.TiffImagePlugin import TiffImageFile

from indexer.photos.pixels import upright_size

# Changes when the same photo tells more than before: unchanged photos are then read again, but not embedded.
FACTS_VERSION = "3"

GPS = ExifTags.GPS

# The year of the first photo; what is dated before is a camera's clock that was never set.
FIRST_YEAR = 1826

# "2023:05:04 12:30:00" as EXIF has it, and what others make of it: 2023/5/4, 2023-05-04T12:30+02:00, 20230504 123000.
DATE = re.compile(
    r"""\s* (\d{4}) (?: \s*[-:/.\s]\s* (\d{1,2}) \s*[-:/.\s]\s* (\d{1,2}) | (\d\d)(\d\d) )
        (?: [T\s]* (?: (\d{1,2}) [:.] (\d{1,2}) (?: [:.] (\d{1,2}) )? | (\d\d)(\d\d)(\d\d)? ) (?: .* \b([AP])M )? )?
        (?!\d)""",
    re.VERBOSE | re.IGNORECASE,
)

NAMESPACES = {
    "aux": "http://ns.adobe.com/exif/1.0/aux/",
    "dc": "http://purl.org/dc/elements/1.1/",
    "exif": "http://ns.adobe.com/exif/1.0/",
    "exifEX": "http://cipa.jp/exif/1.0/",
    "photoshop": "http://ns.adobe.com/photoshop/1.0/",
    "rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
    "tiff": "http://ns.adobe.com/tiff/1.0/",
    "xmp": "http://ns.adobe.com/xap/1.0/",
}

# IPTC's data sets of its record 2.
IPTC_CREATED, IPTC_DIGITIZED = ((2, 55), (2, 60)), ((2, 62), (2, 63))  # date and time
IPTC_KEYWORDS, IPTC_CAPTION = (2, 25), (2, 120)


def photo_facts(image: Image.Image) -> dict[str, Any]:
    """Width and height (upright), taken, camera, lens, latitude, longitude, description, keywords, as far as known.

    `incomplete` is true for a JPEG that was cut off.

    `taken` is the camera's local time as ISO 8601 without a zone. EXIF is believed first, then XMP, then IPTC; the
    time of the satellites is UTC and comes behind these, EXIF's time of the last change last.
    """
    width, height = image.info.get("whole_size") or upright_size(image)  # the preview of a RAW is smaller
    exif: dict[str, Any] = {}
    xmp: dict[str, Any] = {}
    iptc: dict[str, Any] = {}
    late: dict[str, Any] = {}
    with suppress(Exception):  # each block may be broken in every imaginable way, and none is worth losing a photo
        exif, late = exif_facts(Image.Image.getexif(image))
    if packet := image.info.get("xmp") or image.info.get("XML:com.adobe.xmp"):
        with suppress(Exception):
            xmp = xmp_facts(packet)
    if "photoshop" in image.info or isinstance(image, TiffImageFile):
        with suppress(Exception):
            iptc = _iptc_facts(IptcImagePlugin.getiptcinfo(cast(ImageFile, image)) or {})
    facts = {"width": width, "height": height, **late, **iptc, **xmp, **exif}
    return facts | {"incomplete": True} if image.info.get("incomplete") else facts


def exif_facts(exif: Image.Exif) -> tuple[dict[str, Any], dict[str, Any]]:
    """What EXIF says, and a date that is only believed where no other block has one."""
    if not exif:
        return {}, {}
    details: Mapping[int, Any] = {}
    place: Mapping[int, Any] = {}
    with suppress(Exception):
        details = exif.get_ifd(ExifTags.IFD.Exif)
    with suppress(Exception):
        place = exif.get_ifd(ExifTags.IFD.GPSInfo)
    facts = {
        "taken": _first_moment(map(details.get, (ExifTags.Base.DateTimeOriginal, ExifTags.Base.DateTimeDigitized))),
        "camera": camera_name(exif.get(ExifTags.Base.Make), exif.get(ExifTags.Base.Model)),
        "lens": _clean(details.get(ExifTags.Base.LensModel)),
        **_place(
            *(place.get(tag) for tag in (GPS.GPSLatitude, GPS.GPSLatitudeRef, GPS.GPSLongitude, GPS.GPSLongitudeRef))
        ),
    }
    changed = moment(exif.get(ExifTags.Base.DateTime))
    return _known(facts), _known({"taken": _satellite_time(place) or changed})


def _known(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in facts.items() if value not in (None, "", [])}


def camera_name(make: object, model: object) -> str:
    """Maker and model; "Canon" + "Canon EOS R5" is one name, "NIKON CORPORATION" + "NIKON D750" too."""
    make, model = _clean(make), _clean(model)
    return model if make and model.lower().startswith(make.split()[0].lower()) else f"{make} {model}".strip()


def _clean(value: object) -> str:
    text = value
    if isinstance(value, bytes):
        try:
            text = value.decode()
        except UnicodeDecodeError:
            text = value.decode("latin-1")
    return str(text).replace("\0", "").strip() if value else ""


def _first_moment(values: Iterable[object]) -> str | None:
    return next(filter(None, map(moment, values)), None)


def moment(value: object) -> str | None:
    """A date and time as cameras and programs write them, as ISO 8601 without a zone; of a day alone, its beginning.

    None for "0000:00:00 00:00:00" and the like. The clock is taken as it stood where the photo was taken, so zones
    are left out. Hour 24 is hour 0 of the same day: some phones count hours from 1 to 24.

    >>> moment("2023/5/4 24:30"), moment("2023-05-04T12:30:00.5+02:00"), moment("20230504")
    ('2023-05-04T00:30:00', '2023-05-04T12:30:00', '2023-05-04T00:00:00')
    """
    found = DATE.match(_clean(value))
    if found is None:
        return None
    *parts, half = found.groups()
    numbers = [int(part) for part in parts if part is not None]
    year, month, day, hour, minute, second = (*numbers, 0, 0, 0)[:6]
    if half:
        hour = hour % 12 + (12 if half.upper() == "P" else 0)
    try:
        when = datetime(year, month, day)
    except ValueError:
        return None
    with suppress(ValueError):  # of a time of day that is none, the day is kept
        when = when.replace(hour=0 if hour == 24 else hour, minute=minute, second=min(second, 59))
    return when.isoformat() if when.year >= FIRST_YEAR else None


def local_time(seconds: float) -> str:
    """Seconds since 1970 as the clock shows them here, ISO 8601: where a photo was taken is seldom far."""
    return datetime.fromtimestamp(seconds, UTC).astimezone().replace(tzinfo=None).isoformat(timespec="seconds")


def _satellite_time(place: Mapping[int, Any]) -> str | None:
    """The date of the satellites' clock, and its time of day as far as it is said; UTC."""
    time: Sequence[float] = ()
    with suppress(Exception):
        time = [float(part) for part in place[GPS.GPSTimeStamp]]
    clock = ":".join(f"{int(part):02}" for part in time) if len(time) == 3 and all(map(math.isfinite, time)) else ""
    return moment(f"{_clean(place.get(GPS.GPSDateStamp))} {clock}")


def _place(latitude: Any, latitude_side: object, longitude: Any, longitude_side: object) -> dict[str, float]:
    north, east = degrees(latitude, latitude_side), degrees(longitude, longitude_side)
    if north is None or east is None or abs(north) > 90 or abs(east) > 180:
        return {}
    if north == east == 0:  # written by what knows no place; nobody photographs in that sea
        return {}
    return {"latitude": north, "longitude": east}


def degrees(value: Any, side: object = None) -> float | None:
    """Degrees, or degrees, minutes and seconds, as signed degrees, rounded to a decimetre; None for what is neither.

    `value` is a number, up to three numbers (0/0 for a minute or second counts as none), or a text with up to three
    numbers in it; `side` is N, S, E or W, which may also stand in the text, and north or east where it is missing.

    >>> degrees((52, 30, 36), "S"), degrees("13,24.6W"), degrees("52.51"), degrees((52.0, 30.0))
    (-52.51, -13.41, 52.51, 52.5)
    """
    if isinstance(value, bytes):
        value = _clean(value)
    if isinstance(value, str):
        side = side or next(iter(re.findall(r"[NSEW]", value.upper())), None)
        sign = -1.0 if value.strip().startswith("-") else 1.0
        parts = [float(number) for number in re.findall(r"\d+(?:\.\d+)?", value)]
    else:
        numbers = value if isinstance(value, Sequence) else [] if value is None else [value]
        parts = [float(number) for number in numbers]
        sign = math.copysign(1.0, parts[0]) if parts else 1.0
    if not 1 <= len(parts) <= 3 or not math.isfinite(parts[0]):
        return None
    total = sum(abs(part) / 60.0**power for power, part in enumerate(parts) if math.isfinite(part))
    if _clean(side).upper()[:1] in ("S", "W"):
        sign = -1.0
    return round(sign * total, 6)


def xmp_facts(block: bytes | str) -> dict[str, Any]:
    """What an XMP packet says, by the names of `photo_facts`. Raises `ElementTree.ParseError` for what is no XML."""
    text = block.decode("utf-8-sig", errors="replace") if isinstance(block, bytes) else block
    if not text.strip(" \0\n\r\t") or "<!ENTITY" in text:
        return {}
    root = ElementTree.fromstring(text.strip(" \0\n\r\t\ufeff"))
    values: dict[str, list[str]] = {}
    for name, value in _properties(root):
        values.setdefault(name, []).append(value)

    def first(*names: str) -> str | None:
        return next((values[name][0] for name in names if values.get(name)), None)

    dates = ("exif:DateTimeOriginal", "photoshop:DateCreated", "xmp:CreateDate", "exif:DateTimeDigitized")
    facts = {
        "taken": _first_moment(first(name) for name in dates),
        "camera": camera_name(first("tiff:Make"), first("tiff:Model")),
        "lens": _clean(first("exifEX:LensModel", "aux:Lens")),
        "description": _clean(first("dc:description", "dc:title")),
        "keywords": list(dict.fromkeys(map(_clean, values.get("dc:subject", [])))),
        **_place(first("exif:GPSLatitude"), None, first("exif:GPSLongitude"), None),
    }
    return _known(facts)


def _properties(root: ElementTree.Element) -> Iterator[tuple[str, str]]:
    """The properties of an RDF document by their usual prefixes: attributes, elements and the members of lists."""
    prefixes = {f"{{{space}}}": f"{prefix}:" for prefix, space in NAMESPACES.items()}

    def usual(tag: str) -> str:
        space, brace, name = tag.rpartition("}")
        return prefixes.get(space + brace, "") + name

    for described in root.iter(f"{{{NAMESPACES['rdf']}}}Description"):
        for tag, value in described.attrib.items():
            yield usual(tag), value
        for element in described:
            members = list(element.iter(f"{{{NAMESPACES['rdf']}}}li")) or [element]
            yield from ((usual(element.tag), member.text) for member in members if member.text and member.text.strip())


def _iptc_facts(records: Mapping[tuple[int, int], Any]) -> dict[str, Any]:
    created = (" ".join(_clean(records.get(part)) for part in pair) for pair in (IPTC_CREATED, IPTC_DIGITIZED))
    keywords = records.get(IPTC_KEYWORDS, [])
    facts = {
        "taken": _first_moment(created),
        "description": _clean(records.get(IPTC_CAPTION)),
        "keywords": [_clean(word) for word in (keywords if isinstance(keywords, list) else [keywords])],
    }
    return _known(facts)
