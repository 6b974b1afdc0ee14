"""Files beside a photo or film that tell about it: XMP of photo programs, and the JSON of Google Takeout."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import Any

from indexer.photos.facts import degrees, local_time, xmp_facts
from indexer.photos.suffixes import FILMS, SUFFIXES

# Google Takeout adds this to the photo's name, and cuts the whole, without ".json", to so many characters.
TAKEOUT_TAIL = ".supplemental-metadata"
TAKEOUT_LENGTH = 46
# Its number of a second photo of the same name stands at the end: "a.jpg(1).json" tells about "a(1).jpg".
NUMBERED = re.compile(r"(?P<name>.+)(?P<number>\(\d+\))")
# How it calls an edited copy, which has no JSON of its own.
EDITED = "-edited"

# Bytes of a sidecar that are read; an XMP with the history of many edits has some hundred thousand.
MOST_BYTES = 8 << 20


def sidecar_owners(names: Collection[str]) -> dict[str, set[str]]:
    """The sidecar files among a folder's names, each with the photos and films among them that it tells about.

    >>> sidecar_owners(["a.jpg", "a.jpg.supplemental-meta.json", "a.xmp", "b.mp4.json"]) == {
    ...     "a.jpg.supplemental-meta.json": {"a.jpg"}, "a.xmp": {"a.jpg"}, "b.mp4.json": set()}
    True
    """
    found = [name for name in names if name.lower().endswith((".json", ".xmp"))]
    if not found:
        return {}
    photos: dict[str, str] = {}
    of_stem: dict[str, set[str]] = defaultdict(set)
    for name in names:
        stem, _, suffix = name.lower().rpartition(".")
        if f".{suffix}" in SUFFIXES | FILMS:
            photos[name.lower()] = name
            of_stem[stem].add(name)
    owners: dict[str, set[str]] = {}
    for name in found:
        stem, _, suffix = name.lower().rpartition(".")
        if suffix == "xmp":
            owners[name] = {photos[stem]} if stem in photos else of_stem.get(stem, set())
        elif (told := _takeout_owners(stem, photos)) is not None:
            owners[name] = told
    return owners


def _takeout_owners(stem: str, photos: dict[str, str]) -> set[str] | None:
    """The photos that a JSON of Takeout with that stem tells about; None for the stem of another JSON."""
    numbered = NUMBERED.fullmatch(stem)
    stem, number = (numbered["name"], numbered["number"]) if numbered else (stem, "")
    whole, dot, tail = stem.rpartition(".")
    for name in (stem, whole) if dot and TAKEOUT_TAIL.startswith(f".{tail}") else (stem,):
        own, _, suffix = name.rpartition(".")
        if f".{suffix}" in SUFFIXES | FILMS:
            told = {f"{own}{number}.{suffix}", f"{own}{EDITED}{number}.{suffix}"}
            return {photos[photo] for photo in told if photo in photos}
        if len(name) >= TAKEOUT_LENGTH:  # cut within the photo's own name
            return {found for photo, found in photos.items() if photo.startswith(name)} or None
    return None


def sidecar_facts(path: Path) -> dict[str, Any]:
    """What the sidecar file says, by the names of `photo_facts`; nothing if it cannot be read."""
    with suppress(Exception):  # a sidecar is broken in as many ways as a photo, and never worth losing one
        with path.open("rb") as file:
            block = file.read(MOST_BYTES)
        return xmp_facts(block) if path.suffix.lower() == ".xmp" else _takeout_facts(json.loads(block))
    return {}


def _takeout_facts(document: Any) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    with suppress(KeyError, TypeError, ValueError, OverflowError, OSError):
        facts["taken"] = local_time(float(document["photoTakenTime"]["timestamp"]))
    for place in ("geoData", "geoDataExif"):
        with suppress(KeyError, TypeError, ValueError):
            latitude, longitude = (degrees(document[place][axis]) for axis in ("latitude", "longitude"))
            if latitude or longitude:  # 0, 0 stands for none
                facts |= {"latitude": latitude, "longitude": longitude}
                break
    if isinstance(document.get("description"), str) and document["description"].strip():
        facts["description"] = document["description"].strip()
    with suppress(KeyError, TypeError):
        facts["keywords"] = [str(person["name"]) for person in document["people"]]
    return facts
