"""Cities by name, and the city of a place."""

import pytest

from indexer.places import gazetteer


@pytest.mark.parametrize(
    ("name", "city"),
    [
        ("Berlin", "Berlin, Germany"),
        ("munchen", "Munich, Germany"),
        ("München", "Munich, Germany"),
        ("東京", "Tokyo, Japan"),
        ("sao paulo", "São Paulo, Brazil"),
        ("Paris", "Paris, France"),
        ("Paris, US", "Paris, United States"),
        ("Paris, Vereinigte Staaten", "Paris, United States"),
    ],
)
def test_a_city_is_found_by_any_of_its_names_and_the_largest_comes_first(name: str, city: str) -> None:
    assert str(gazetteer().called(name)[0]) == city


@pytest.mark.parametrize("name", ["", "  ", "Nowhereville", "Paris, Japan", ".*"])
def test_what_is_no_city_is_none(name: str) -> None:
    assert gazetteer().called(name) == []


def test_several_cities_of_a_name_are_all_told_most_people_first() -> None:
    cities = [city for city in gazetteer().called("Springfield") if city.name == "Springfield"]
    assert len(cities) > 3
    assert [city.population for city in cities] == sorted((city.population for city in cities), reverse=True)


@pytest.mark.parametrize(
    ("latitude", "longitude", "city"),
    [
        (52.516, 13.378, "Berlin, Germany"),
        (52.52, 13.2, "Berlin, Germany"),  # Spandau, a quarter
        (52.40, 13.06, "Potsdam, Germany"),  # nearer to Berlin than Berlin's size
        (40.7357, -74.1724, "Newark, United States"),
        (-33.86, 151.2, "Sydney, Australia"),
        (-17.8, 179.99, None),
        (0.0, -30.0, None),
        (90.0, 0.0, None),
    ],
)
def test_a_place_belongs_to_its_city_and_the_middle_of_the_sea_to_none(
    latitude: float, longitude: float, city: str | None
) -> None:
    found = gazetteer().nearest(latitude, longitude)
    assert (found and str(found)) == city


def test_a_misspelt_name_is_answered_with_those_that_are_nearly_so() -> None:
    assert "Berlin" in gazetteer().like("Berln")
    assert "Germany" in gazetteer().like("Germny")
