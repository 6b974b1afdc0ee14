"""An encoder's towers: each is made once, whoever asks first."""

import time
from concurrent.futures import ThreadPoolExecutor

from indexer.encoders.base import Encoder, Tower
from indexer.testing import color_encoder


def test_threads_that_ask_at_once_get_the_same_tower() -> None:
    tower = color_encoder().tower("image")
    made: list[int] = []

    def slowly() -> Tower:
        made.append(1)
        time.sleep(0.05)
        return tower

    encoder = Encoder("slow", 4, "0", {"image": slowly})
    with ThreadPoolExecutor(8) as threads:
        towers = list(threads.map(lambda _: encoder.tower("image"), range(8)))
    assert made == [1]
    assert all(one is tower for one in towers)


def test_the_light_towers_of_an_encoder_are_its_own() -> None:
    tower = color_encoder().tower("image")
    encoder = Encoder("both", 4, "0", {"image": color_encoder().makers["image"]}, light={"image": lambda: tower})
    assert encoder.for_asking().tower("image") is tower
    assert encoder.tower("image") is not tower
