"""What is known of a photo beside its pixels: when, where and with what it was taken."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any

from PIL import ExifTags, Image

from indexer.photos.pixels import upright_size
from indexer.places import gazetteer


def photo_facts(image: Image.Image) -> dict[str, Any]:
    """What is known beside the pixels: width and height (upright), taken, camera, lens, latitude, longitude,
    and the city and country of that place.

    `taken` is the camera's local time as ISO 8601. What the file does not say, or says wrongly, is left out.
    """
    width, height = upright_size(image)
    facts: dict[str, Any] = {"width": width, "height": height}
    with suppress(Exception):
        exif = Image.Image.getexif(image)
        if not exif:
            return facts
        facts |= _camera_facts(exif, exif.get_ifd(ExifTags.IFD.Exif))
        facts |= _place_facts(exif.get_ifd(ExifTags.IFD.GPSInfo))
    return facts


def _camera_facts(base: Mapping[int, Any], details: Mapping[int, Any]) -> dict[str, Any]:
    dates = (
        details.get(ExifTags.Base.DateTimeOriginal),
        details.get(ExifTags.Base.DateTimeDigitized),
        base.get(ExifTags.Base.DateTime),
    )
    make, model = (_clean(base.get(tag)) for tag in (ExifTags.Base.Make, ExifTags.Base.Model))
    # "Canon" + "Canon EOS R5" is one name, "NIKON CORPORATION" + "NIKON D750" too
    camera = model if make and model.lower().startswith(make.split()[0].lower()) else f"{make} {model}".strip()
    facts = {
        "taken": next(filter(None, map(_moment, dates)), None),
        "camera": camera,
        "lens": _clean(details.get(ExifTags.Base.LensModel)),
    }
    return {name: value for name, value in facts.items() if value}


def _clean(value: object) -> str:
    return str(value).replace("\0", "").strip() if value else ""


def _moment(value: object) -> str | None:
    """EXIF's "2023:05:04 12:30:00" as "2023-05-04T12:30:00"; None for "0000:00:00 00:00:00" and the like."""
    with suppress(ValueError):
        return datetime.strptime(_clean(value)[:19], "%Y:%m:%d %H:%M:%S").isoformat()
    return None


def _place_facts(gps: Mapping[int, Any]) -> dict[str, Any]:
    latitude = _degrees(gps.get(ExifTags.GPS.GPSLatitude), gps.get(ExifTags.GPS.GPSLatitudeRef))
    longitude = _degrees(gps.get(ExifTags.GPS.GPSLongitude), gps.get(ExifTags.GPS.GPSLongitudeRef))
    if latitude is None or longitude is None or abs(latitude) > 90 or abs(longitude) > 180:
        return {}
    city = gazetteer().nearest(latitude, longitude)
    names = {"city": city.name, "country": city.country} if city else {}
    return {"latitude": latitude, "longitude": longitude, **names}


def _degrees(value: Any, reference: object) -> float | None:
    """Degrees, minutes and seconds as signed degrees, rounded to a decimetre."""
    if not value:
        return None
    degrees, minutes, seconds = (float(part) for part in value)
    total = degrees + minutes / 60 + seconds / 3600
    if not math.isfinite(total):
        return None
    return round(-total if _clean(reference).upper()[:1] in ("S", "W") else total, 6)
