"""Pairs, groups and hashes, compared with slow and obvious ways to them."""

from itertools import combinations
from pathlib import Path

import imagehash
import numpy as np
import pytest
from PIL import Image

from indexer import Library, shipped
from indexer.encoders.base import unit_rows
from indexer.items import Float32Array, Int64Array, Item, Source
from search.organise import duplicates as neighbours
from search.organise.duplicates import grouped, near_pairs
from search.organise.hashes import distances, hash_all, hashes_of

NOBODY = np.empty(0, np.int64)


def filled(library: Library, rows: Float32Array) -> Int64Array:
    """The library with these vectors; their ids."""
    with library.catalog.atomic() as revision:
        for number, row in enumerate(rows):
            path = Path(f"/photos/{number}.jpg")
            file_id = library.catalog.files.put(Source(path, "image", 1, 1))
            library.catalog.put_items(file_id, [Item("image", path)], row[np.newaxis], revision)
    return library.catalog.ids("image", "1")


def families(count: int, members: int) -> Float32Array:
    """Rows `[count * members, 4]` around `count` random centres, as copies lie around a photo."""
    random = np.random.default_rng(0)
    centres = np.repeat(random.normal(size=(count, 4)), members, axis=0)
    return unit_rows((centres + random.normal(scale=0.01, size=centres.shape)).astype(np.float32))


def brute_pairs(rows: Float32Array, ids: Int64Array, least: float) -> dict[tuple[int, int], float]:
    half = rows.astype(np.float16).astype(np.float32)
    cosines = {(a, b): float(half[a] @ half[b]) for a, b in combinations(range(len(rows)), 2)}
    return {(int(ids[a]), int(ids[b])): cosine for (a, b), cosine in cosines.items() if cosine >= least}


def as_dict(ids: Int64Array, cosines: Float32Array) -> dict[tuple[int, int], float]:
    return {(first, second): cosine for (first, second), cosine in zip(ids.tolist(), cosines.tolist(), strict=True)}


def test_near_pairs_are_those_of_brute_force(library: Library) -> None:
    rows = families(20, 4)
    ids = filled(library, rows)
    expected = brute_pairs(rows, ids, 0.995)
    found = as_dict(*near_pairs(library.catalog, "image", 0.995, leave_out=NOBODY))
    assert len(expected) > 50
    assert found == pytest.approx(expected, abs=1e-3)


def test_pairs_leave_out_whom_they_are_told_to(library: Library) -> None:
    ids = filled(library, families(20, 4))
    pairs, _ = near_pairs(library.catalog, "image", 0.995, leave_out=ids[::4])
    assert len(pairs)
    assert not np.isin(pairs, ids[::4]).any()


def test_an_inverted_file_finds_nearly_all_of_them(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "ALL_UP_TO", 100)
    rows = families(1000, 2)
    ids = filled(library, rows)
    copies = {(int(a), int(b)) for a, b in ids.reshape(-1, 2)}
    found = as_dict(*near_pairs(library.catalog, "image", 0.999, leave_out=NOBODY))
    assert len(copies & found.keys()) / len(copies) > 0.97


def test_nothing_has_no_pairs(library: Library) -> None:
    pairs, cosines = near_pairs(library.catalog, "image", 0.9, leave_out=NOBODY)
    assert pairs.shape == (0, 2)
    assert len(cosines) == 0


def slow_groups(pairs: list[tuple[int, int]], near: list[float], reach: float) -> list[list[int]]:
    """Components by repeated merging, then taken apart by their lowest."""
    sets = [{number} for number in range(len(near))]
    for a, b in pairs:
        one, other = (next(group for group in sets if number in group) for number in (a, b))
        if one is not other:
            sets.remove(other)
            one |= other
    groups = []
    for left in sets:
        while left:
            best = min(left)
            group = {number for number in left if abs(near[number] - near[best]) <= reach}
            groups.append(sorted(group))
            left -= group
    return sorted(group for group in groups if len(group) > 1)


@pytest.mark.parametrize("seed", range(5))
def test_groups_are_components_taken_apart_by_their_best(seed: int) -> None:
    places = np.random.default_rng(seed).uniform(0, 100, 80)
    pairs = [(a, b) for a, b in combinations(range(80), 2) if abs(places[a] - places[b]) <= 1.5]
    found = grouped(np.array(pairs), 80, lambda one, others: np.abs(places[others] - places[one]) <= 1.5)
    expected = slow_groups(pairs, places.tolist(), 1.5)
    assert sorted(group.tolist() for group in found) == expected
    assert len(expected) > 10


def test_likeness_does_not_wander_along_a_chain() -> None:
    places = np.arange(10)  # each like the next
    pairs = np.array([(number, number + 1) for number in range(9)])
    groups = grouped(pairs, 10, lambda one, others: np.abs(places[others] - places[one]) <= 1)
    assert [group.tolist() for group in groups] == [[0, 1], [2, 3], [4, 5], [6, 7], [8, 9]]


def test_no_pairs_make_no_groups() -> None:
    assert grouped(np.empty((0, 2), np.int64), 0, lambda _, others: others > 0) == []


def test_the_distance_of_whole_photos_is_that_of_imagehash() -> None:
    paths = [shipped("photos", f"{name}.jpg") for name in ("cat", "coffee")]
    whole = [imagehash.ImageHash(np.unpackbits(hashes_of(path)[0]).reshape(12, 12).astype(bool)) for path in paths]
    one, other = (hashes_of(path)[:1] for path in paths)
    assert distances(one, other) == whole[0] - whole[1] > 40


def test_distances_of_many_are_those_of_each() -> None:
    random = np.random.default_rng(0)
    some, others = random.integers(0, 256, (2, 6, 11, 8), dtype=np.uint8)
    each = [int(distances(one, other)) for one, other in zip(some, others, strict=True)]
    assert distances(some, others).tolist() == each
    assert distances(some[0], others).tolist() == [int(distances(some[0], other)) for other in others]
    one, other = ([int.from_bytes(hashed.tobytes()) for hashed in photo] for photo in (some[0], others[0]))
    by_hand = [(one[0] ^ there).bit_count() for there in other] + [(other[0] ^ back).bit_count() for back in one]
    assert each[0] == min(by_hand)


def test_a_crop_meets_the_crop_of_the_whole(tmp_path: Path) -> None:
    cat = Image.open(shipped("photos", "cat.jpg")).convert("RGB")
    cat.save(tmp_path / "cat.png")
    cat.crop((0, 0, int(cat.width * 0.9), int(cat.height * 0.9))).save(tmp_path / "crop.png")
    one, other = (hashes_of(tmp_path / name) for name in ("cat.png", "crop.png"))
    assert distances(one, other) <= 26 < distances(one[:1], other[:1])


def test_what_cannot_be_read_has_no_hashes(tmp_path: Path) -> None:
    (tmp_path / "broken.jpg").write_bytes(b"no photo")
    first, second = hash_all([tmp_path / "broken.jpg", shipped("photos", "cat.jpg")])
    assert first is None
    assert second is not None
