"""Places by name and names of places: a gazetteer of 34,000 cities (GeoNames, CC BY 4.0) that travels with Descry."""

from __future__ import annotations

import gzip
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property, lru_cache
from typing import Any

import numpy as np

from indexer import shipped
from indexer.items import Float32Array

EARTH_RADIUS_KM = 6371.0

# Beyond this many kilometres from the centre of any city a place has no name: mid-Atlantic is nowhere.
FARTHEST_KM = 60.0


@dataclass(frozen=True, slots=True)
class City:
    """A city: its English name, its country's name, its centre in degrees, and how many people live there."""

    name: str
    country: str
    latitude: float
    longitude: float
    population: int

    def __str__(self) -> str:
        return f"{self.name}, {self.country}"


class Gazetteer:
    """All cities, most people first, and the countries by every name that they have."""

    def __init__(self) -> None:
        lines = shipped("places", "countries.tsv").read_text(encoding="utf-8").splitlines()
        rows = [line.split("\t") for line in lines]
        # a country by its code or any of its names
        self.countries = {folded(key): name for code, name, others in rows for key in (code, name, *others.split("|"))}
        self._english = {code: name for code, name, _ in rows}
        self._text = gzip.decompress(shipped("places", "cities.tsv.gz").read_bytes()).decode()

    @cached_property
    def _rows(self) -> list[list[str]]:
        return [line.split("\t") for line in self._text.split("\n")]

    def city(self, number: int) -> City:
        """The city at this place in the order of population."""
        name, code, latitude, longitude, population, *_ = self._rows[number]
        return City(name, self._english.get(code, code), float(latitude), float(longitude), int(population))

    def called(self, name: str) -> list[City]:
        """The cities of this name in any language, the likeliest first; "Paris, US" is one in that country.

        Those called so in English come before those with other names; each kind with most people first.
        """
        wanted, comma, country = name.rpartition(",")  # some have commas of their own
        wanted, country = (wanted, country) if comma else (name, "")
        cities = [self.city(number) for number in self._numbers(wanted.strip())] if folded(wanted) else []
        if country.strip():
            cities = [city for city in cities if city.country == self.countries.get(folded(country))]
        return cities

    def _numbers(self, name: str) -> list[int]:
        # folding all names takes a second, so it is done only for what is not found as it is written
        literal = rf"(?:^|[\t|]){re.escape(name)}(?=[\t|]|$)"
        if re.search(literal, self._text, re.IGNORECASE | re.MULTILINE):
            found = [
                self._text.count("\n", 0, match.end())
                for match in re.finditer(literal, self._text, re.IGNORECASE | re.MULTILINE)
            ]
        else:
            found = self._by_folded_name.get(folded(name), [])
        return sorted(set(found), key=lambda number: (folded(self._rows[number][0]) != folded(name), number))

    @cached_property
    def _by_folded_name(self) -> dict[str, list[int]]:
        found: dict[str, list[int]] = {}
        for number, row in enumerate(self._rows):
            for key in {folded(other) for other in (row[0], *row[-1].split("|"))}:
                found.setdefault(key, []).append(number)
        return found

    def like(self, name: str, count: int = 3) -> list[str]:
        """Names of cities and countries that are spelt nearly so."""
        cities = {folded(row[0]): row[0] for row in reversed(self._rows)}
        keys = get_close_matches(folded(name), [*cities, *self.countries], count, cutoff=0.75)
        return list(dict.fromkeys(cities.get(key) or self.countries[key] for key in keys))

    @cached_property
    def _centres(self) -> Float32Array:
        """The centres on the unit sphere, `[n, 3]`."""
        return on_the_sphere([float(row[2]) for row in self._rows], [float(row[3]) for row in self._rows])

    @cached_property
    def _radii(self) -> Float32Array:
        return np.sqrt([float(row[4]) for row in self._rows]).astype(np.float32)

    def nearest(self, latitude: float, longitude: float) -> City | None:
        """The city that a place in degrees belongs to: the nearest in units of the cities' radii.

        A radius is taken to grow with the square root of the population. A quarter of a larger city is that city.
        None farther than `FARTHEST_KM` from the centre of each.
        """
        # a chord of the sphere is an arc's length to 0.1 % within 1,000 km
        kilometres = EARTH_RADIUS_KM * np.linalg.norm(self._centres - on_the_sphere([latitude], [longitude]), axis=1)
        near = np.flatnonzero(kilometres <= FARTHEST_KM)
        if not len(near):
            return None
        number = int(near[np.argmin(kilometres[near] / self._radii[near])])
        return self.city(int(self._rows[number][5] or number))


def place_names(facts: Mapping[str, Any]) -> dict[str, str]:
    """City and country, as facts, of what was taken at a `latitude` and `longitude`; none where no city is near."""
    city = gazetteer().nearest(facts["latitude"], facts["longitude"]) if "latitude" in facts else None
    return {"city": city.name, "country": city.country} if city else {}


@lru_cache(maxsize=1)
def gazetteer() -> Gazetteer:
    """The shipped gazetteer; it is read once, in a tenth of a second."""
    return Gazetteer()


def folded(name: str) -> str:
    """A name without case, accents and what is not a letter or digit: how people type it.

    >>> folded("  São Paulo "), folded("Saint-Denis")
    ('saopaulo', 'saintdenis')
    """
    plain = unicodedata.normalize("NFKD", name.casefold())
    return "".join(sign for sign in plain if sign.isalnum())


def on_the_sphere(latitudes: Sequence[float], longitudes: Sequence[float]) -> Float32Array:
    """Places in degrees as points of the unit sphere, `[n, 3]`."""
    north, east = np.radians(latitudes), np.radians(longitudes)
    return np.stack([np.cos(north) * np.cos(east), np.cos(north) * np.sin(east), np.sin(north)], 1).astype(np.float32)
