"""The front doors: what they promise is there, sorted, and says what it is."""

import importlib

import pytest


@pytest.mark.parametrize("package", ["descry", "indexer", "search", "indexer.encoders", "indexer.modalities"])
def test_what_is_promised_is_there_sorted_and_documented(package: str) -> None:
    module = importlib.import_module(package)
    assert module.__all__ == sorted(module.__all__, key=lambda name: (not name.isupper(), not name[0].isupper(), name))
    for name in module.__all__:
        value = getattr(module, name)
        assert not callable(value) or value.__doc__, name


@pytest.mark.parametrize("package", ["descry", "indexer", "search"])
def test_the_front_door_says_no_to_what_it_does_not_have(package: str) -> None:
    with pytest.raises(AttributeError, match="nothing_like_it"):
        _ = importlib.import_module(package).nothing_like_it
