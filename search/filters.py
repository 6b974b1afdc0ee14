"""What may be found at all: conditions on where a file is, when, where and with what a photo was taken, and its shape.

Filters run before the search. Each is a row in `FIELDS`: what its values look like, and a function that makes
SQL of one. The command line, Python and whatever comes later share the names.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any, NamedTuple

from indexer.errors import QueryError
from indexer.storage.files import AT_OR_BELOW, as_stored, range_below
from indexer.storage.listing import BEFORE_FIRST

if TYPE_CHECKING:
    from indexer.items import Int64Array
    from indexer.places import City
    from indexer.storage.catalog import Catalog
    from search.dates import Period

# A place without a distance means this many kilometres around it: a town and its surroundings.
NEAR_KM = 10.0

# The greatest whole number of SQLite.
SQLITE_MOST = 2**63 - 1

# A place, and behind a comma or blank how many kilometres around it.
_NUMBER = r"[-+]?\d+(?:\.\d+)?"
_NEAR = (
    rf"(?:(?P<latitude>{_NUMBER})\s*,\s*(?P<longitude>{_NUMBER})|(?P<name>[^\W\d][^\d]*?))"
    rf"(?:\s*,\s*(?P<km>{_NUMBER})\s*(?:km)?|\s+(?P<around>{_NUMBER})\s*km)?"
)

# All cameras that there are, by stepping from one to the next in the index.
CAMERAS = (
    "WITH RECURSIVE cameras(name) AS (SELECT min(camera) FROM items WHERE camera > '' UNION ALL "
    "SELECT (SELECT min(camera) FROM items WHERE camera > name) FROM cameras WHERE name IS NOT NULL) "
    "SELECT name FROM cameras"
)

# The photos that some caption of the library is about, by path.
CAPTIONED = (
    "SELECT beside(folders.path, json_extract(facts, '$.photo')) FROM items "
    "JOIN files ON files.id = file_id JOIN folders ON folders.id = folder_id "
    "WHERE items.modality IN ('text', 'caption')"
)


class Condition(NamedTuple):
    """SQL over `items`, `files` and `folders` that is true or not, and the values of its question marks."""

    sql: str
    values: tuple[str | float, ...] = ()


class Field(NamedTuple):
    """Something to filter by. `forms` says what a value looks like ("" if there is none), `condition` makes SQL of it.

    `condition` raises `ValueError` for a value of another form; `metavar` stands for a value in the help; `choices` are
    all values, where there are few.
    """

    help: str
    forms: str
    condition: Callable[[str], Condition]
    metavar: str = "WORDS"
    choices: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Filter:
    """Only items whose `field` is `value`; with `negated`, only the others.

    Raises `QueryError`, naming what there is, for an unknown field or a value of no accepted form.
    """

    field: str
    value: str = ""
    negated: bool = False

    def __post_init__(self) -> None:
        self.condition()

    def condition(self) -> Condition:
        """The filter as SQL."""
        if self.field not in FIELDS:
            raise QueryError(f"Nothing is filtered by {self.field!r}: there are {', '.join(FIELDS)}.")
        try:
            self.value.encode()  # a terminal may send bytes that are no text
            sql, values = FIELDS[self.field].condition(self.value)
        except (ValueError, OverflowError):  # the year after 9999 is none
            forms = FIELDS[self.field].forms
            raise QueryError(f"{self.field} {self.value!r} cannot be understood: give {forms}.") from None
        # a photo of which it is not known, as one without a camera, is among the others
        return Condition(f"({sql}) IS NOT TRUE" if self.negated else sql, values)


def to_sql(filters: Sequence[Filter]) -> Condition:
    """The filters as one condition, true without any: those of one field are alternatives, fields must all hold."""
    groups: dict[object, list[Condition]] = {}
    for filter in filters:
        groups.setdefault(filter if filter.negated else filter.field, []).append(filter.condition())
    sql = " AND ".join(f"({' OR '.join(f'({sql})' for sql, _ in group)})" for group in groups.values())
    values = tuple(value for group in groups.values() for _, values in group for value in values)
    return Condition(sql or "TRUE", values)


def matching_ids(catalog: Catalog, modality: str, filters: Sequence[Filter]) -> Int64Array:
    """The ids of a modality's items that filters let through."""
    catalog.register_functions(FUNCTIONS)
    return catalog.ids(modality, *to_sql(filters))


def negated(text: str) -> Filter:
    """The filter that leaves out what "FIELD=VALUE" lets through.

    >>> negated("camera=Canon")
    Filter(field='camera', value='Canon', negated=True)
    """
    field, _, value = text.partition("=")
    return Filter(field, value, negated=True)


def _in_folder(value: str) -> Condition:
    return Condition(AT_OR_BELOW, range_below(as_stored(value)))


def _path(value: str) -> Condition:
    if "/" not in value:  # a folder far above must not make its files fit "c*.jpg"
        return Condition("files.name GLOB ?", (value,))
    pattern = value if value.startswith(("/", "*")) else f"*/{value}"
    return Condition("folders.path || '/' || files.name GLOB ?", (pattern,))


def _type(value: str) -> Condition:
    suffix = value.lower().removeprefix(".")
    if not re.fullmatch(r"\w+", suffix):
        raise ValueError(value)
    suffixes = SAME_TYPE.get(suffix, (suffix,))
    return Condition(" OR ".join(["files.name LIKE ?"] * len(suffixes)), tuple(f"%.{suffix}" for suffix in suffixes))


def _period(value: str) -> Period:
    from search.dates import period  # late: it knows many words, and few questions hold a date

    return period(value)


def _after(value: str) -> Condition:
    return Condition("items.day >= ?", (_julian(_period(value).first),))


def _before(value: str) -> Condition:
    return Condition("items.day < ?", (_julian(_period(value).first),))


def _on(value: str) -> Condition:
    first, behind = _period(value)
    return Condition("items.day BETWEEN ? AND ?", (_julian(first), _julian(behind) - 1))


def _julian(day: date) -> int:
    """A day's number, by which the catalog keeps days."""
    return day.toordinal() + BEFORE_FIRST


def _camera(value: str) -> Condition:
    return Condition(f"items.camera IN ({CAMERAS} WHERE name LIKE ? ESCAPE '!')", (_anywhere(value),))


def _lens(value: str) -> Condition:
    return Condition("json_extract(facts, '$.lens') LIKE ? ESCAPE '!'", (_anywhere(value),))


def _anywhere(value: str) -> str:
    """A pattern of what has the words of the value in it, in any case."""
    if not value.strip():
        raise ValueError(value)
    escaped = re.sub(r"([%_!])", r"!\1", value.strip())
    return f"%{escaped}%"


def _at_least(fact: str) -> Callable[[str], Condition]:
    def condition(value: str) -> Condition:
        return Condition(f"json_extract(facts, '$.{fact}') >= ?", (min(int(value), SQLITE_MOST),))

    return condition


def _near(value: str) -> Condition:
    match = re.fullmatch(_NEAR, value.strip())
    if match is None:
        raise ValueError(value)
    if match["name"]:
        city = city_called(match["name"])
        latitude, longitude = city.latitude, city.longitude
    else:
        latitude, longitude = float(match["latitude"]), float(match["longitude"])
    kilometres = float(match["km"] or match["around"] or NEAR_KM)
    if not (abs(latitude) <= 90 and abs(longitude) <= 180 and kilometres >= 0):
        raise ValueError(value)
    sql = "kilometres(json_extract(facts, '$.latitude'), json_extract(facts, '$.longitude'), ?, ?) <= ?"
    return Condition(sql, (latitude, longitude, kilometres))


def _place(value: str) -> Condition:
    from indexer.places import folded, gazetteer

    country = gazetteer().countries.get(folded(value))
    if country:
        return Condition("json_extract(facts, '$.country') = ?", (country,))
    city = city_called(value)
    return Condition(
        "json_extract(facts, '$.city') = ? AND json_extract(facts, '$.country') = ?", (city.name, city.country)
    )


def city_called(name: str) -> City:
    """The largest city of a name. Raises `QueryError`, with names that are spelt nearly so, where there is none."""
    from indexer.places import gazetteer

    cities = gazetteer().called(name)
    if cities:
        return cities[0]
    near = " or ".join(gazetteer().like(name))
    hint = f"do you mean {near}?" if near else "give a city of more than 15,000 people, or LATITUDE,LONGITUDE."
    raise QueryError(f"No place is called {name!r}: {hint}")


def kilometres(
    latitude: float | None, longitude: float | None, to_latitude: float, to_longitude: float
) -> float | None:
    """The distance of two places on the globe by the haversine formula; None if one is not known."""
    from indexer.places import EARTH_RADIUS_KM  # late: few filters are about places

    if latitude is None or longitude is None:
        return None
    here, there = math.radians(latitude), math.radians(to_latitude)
    across = math.sin(math.radians(to_longitude - longitude) / 2) ** 2
    chord = math.sin((there - here) / 2) ** 2 + math.cos(here) * math.cos(there) * across
    return 2 * EARTH_RADIUS_KM * math.asin(math.sqrt(min(1.0, chord)))


def beside(folder: str, name: str | None) -> str | None:
    """The path of a file that is named as seen from a folder: "../photos/cat.jpg" beside "/home/texts"."""
    return None if name is None else os.path.normpath(os.path.join(folder, name))  # noqa: PTH118 - a string for SQL


# What conditions need beyond SQLite's own functions, each with the number of its arguments.
FUNCTIONS: dict[str, tuple[int, Callable[..., Any]]] = {"kilometres": (4, kilometres), "beside": (2, beside)}


def _orientation(value: str) -> Condition:
    if value not in ORIENTATIONS:
        raise ValueError(value)
    return Condition(f"json_extract(facts, '$.width') {ORIENTATIONS[value]} json_extract(facts, '$.height')")


def _colour(value: str) -> Condition:
    if value not in COLOURS:
        raise ValueError(value)
    return Condition("json_extract(facts, '$.colour') = ?", (value,))


def _has_caption(_value: str) -> Condition:
    return Condition(f"folders.path || '/' || files.name IN ({CAPTIONED})")


def _tagged(value: str) -> Condition:
    if not value.strip():
        raise ValueError(value)
    if value.strip().lower() == OTHER:
        return Condition("items.id NOT IN (SELECT item_id FROM tags)")
    return Condition("items.id IN (SELECT item_id FROM tags WHERE tag = ?)", (value.strip(),))


# What photos are called that bear no tag.
OTHER = "other"

# What the pixels of a photo tell, see `indexer.photos.monochrome`.
COLOURS = ("black-and-white", "sepia", "full")

ORIENTATIONS = {"landscape": ">", "portrait": "<", "square": "="}

# Suffixes that mean the same kind of file.
_FAMILIES = (("jpg", "jpeg", "jpe", "jfif"), ("tif", "tiff"), ("heic", "heif", "hif"), ("jp2", "j2k", "jpx", "jpf"))
SAME_TYPE = {suffix: family for family in _FAMILIES for suffix in family}

_DATES = "a year, month, day or what people say, as in 2023, 2023-05, 'May 2023', 2020..2022 or 'last summer'"

FIELDS: dict[str, Field] = {
    "in": Field("In this folder, or below it.", "a folder", _in_folder, "FOLDER"),
    "path": Field("With a path of this pattern.", "a pattern, as in 'holiday*.jpg' or '*/2023/*'", _path, "PATTERN"),
    "type": Field("Files of this type.", "a suffix, as in png", _type, "SUFFIX"),
    "on": Field("Taken in this year, month or day.", _DATES, _on, "DATE"),
    "after": Field("Taken when this began, or later.", _DATES, _after, "DATE"),
    "before": Field("Taken before this began.", _DATES, _before, "DATE"),
    "camera": Field("Taken with this camera.", "a part of its name", _camera),
    "lens": Field("Taken with this lens.", "a part of its name", _lens),
    "near": Field(
        "Taken near this place.",
        f"a city or LATITUDE,LONGITUDE, as in Berlin, 'München, 20 km' or 52.5,13.4,3 ({NEAR_KM:.0f} km if not said)",
        _near,
        "PLACE[,KM]",
    ),
    "place": Field("Taken in this city or country.", "its name, as in Berlin or Japan", _place, "PLACE"),
    "min-width": Field("At least so many pixels wide.", "a whole number", _at_least("width"), "PIXELS"),
    "min-height": Field("At least so many pixels high.", "a whole number", _at_least("height"), "PIXELS"),
    "orientation": Field("Of this shape.", " or ".join(ORIENTATIONS), _orientation, "SHAPE", (*ORIENTATIONS,)),
    "colour": Field("In black and white, sepia or full colour.", " or ".join(COLOURS), _colour, "KIND", COLOURS),
    "has-caption": Field("Photos that a caption of the library speaks of.", "", _has_caption),
    "tag": Field("That bear this tag, or 'other' for none.", "a tag, as `descry tag` lists them", _tagged, "TAG"),
}
