"""Several encoders as one: late fusion by weights, `ensemble:A+B` or, weighed as in queries, `ensemble:0.7:A+0.3:B`.

Members' rows are scaled by the root of their weight and laid end to end: a cosine then is the weighted mean of the
members' cosines, so that everything that works with one encoder's vectors works with these.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from indexer.atomic import atomic_folder
from indexer.encoders import load_encoder
from indexer.encoders.base import Encoder, Tower
from indexer.encoders.stored import NotStorable, load_stored
from indexer.errors import EncoderMismatch, EncoderUnavailable, UnknownEncoder
from indexer.items import Float32Array

SCHEME = "ensemble:"
STORED = "ensemble.json"

_WEIGHT = re.compile(r"(\d+(?:\.\d+)?|\.\d+):(.*)")


@dataclass(frozen=True, slots=True)
class Member:
    """One encoder of an ensemble, by name, and what it counts beside the others."""

    name: str
    weight: float = 1.0


class JoinedTower:
    """The towers of one name of several encoders as one. A `Tower`.

    A prepared value is an array of the members' own prepared arrays, `[members]` of type object. `first_to_last` says
    in which order the members prepare a value.
    """

    def __init__(
        self, towers: Sequence[Tower], weights: Sequence[float], *, first_to_last: Sequence[int] | None = None
    ) -> None:
        self._towers = list(towers)
        self._scales = [math.sqrt(weight / sum(weights)) for weight in weights]
        self._order = list(first_to_last) if first_to_last is not None else list(range(len(self._towers)))
        tellers: list[Any] = [getattr(tower, "is_whole", None) for tower in self._towers]
        self.is_whole: Callable[[str], bool] | None = partial(_any_knows, tellers) if all(tellers) else None

    def fits(self, value: Any) -> bool:
        """Whether every member sees all of the value."""
        return all(tower.fits(value) for tower in self._towers)

    def prepare(self, value: Any) -> npt.NDArray[Any]:
        """What each member makes of the value, `[members]` of type object."""
        prepared = np.empty(len(self._towers), dtype=object)
        for number in self._order:
            prepared[number] = self._towers[number].prepare(value)
        return prepared

    def embed(self, prepared: Sequence[npt.NDArray[Any]]) -> Float32Array:
        """A batch of prepared values as unit rows `[n, sum of the members' dimensions]` float32."""
        rows = [
            np.float32(scale) * tower.embed([members[number] for members in prepared])
            for number, (tower, scale) in enumerate(zip(self._towers, self._scales, strict=True))
        ]
        joined: Float32Array = np.concatenate(rows, axis=1)
        return joined


def _any_knows(tellers: Sequence[Callable[[str], bool]], word: str) -> bool:
    return any(is_whole(word) for is_whole in tellers)


def load(name: str, *, device: str = "auto") -> Encoder:
    """The ensemble of that name, its members found and their towers not yet loaded; it gives itself their full names.

    Raises `UnknownEncoder` for a name that cannot be read, and what its members raise.
    """
    members = parse(name)
    encoders = [load_encoder(member.name, device=device) for member in members]
    weights = [member.weight for member in members]
    towers = [tower for tower in encoders[0].towers if all(tower in encoder.towers for encoder in encoders)]
    full = [Member(encoder.name, weight) for encoder, weight in zip(encoders, weights, strict=True)]
    return Encoder(
        name=name_of(full),
        dimension=sum(encoder.dimension for encoder in encoders),
        checksum="+".join(encoder.checksum for encoder in encoders),
        makers={tower: partial(_joined, encoders, weights, tower) for tower in towers},
        store_text=partial(_store, full, encoders) if any(encoder.store_text for encoder in encoders) else None,
    )


def parse(name: str) -> tuple[Member, ...]:
    """The members that an ensemble's name names. Raises `UnknownEncoder`.

    >>> parse("ensemble:0.7:embedded+0.3:open_clip:ViT-B-32/openai")
    (Member(name='embedded', weight=0.7), Member(name='open_clip:ViT-B-32/openai', weight=0.3))
    """
    members = tuple(_member(part.strip(), name) for part in name.removeprefix(SCHEME).split("+"))
    if len(members) < 2:
        raise UnknownEncoder(f"{name} has a single member: give several, as in {SCHEME}0.7:embedded+0.3:vit-b-32.")
    return members


def _member(part: str, name: str) -> Member:
    weighed = _WEIGHT.fullmatch(part)
    weight, member = (float(weighed[1]), weighed[2]) if weighed else (1.0, part)
    if not member:
        raise UnknownEncoder(f"{name} lacks a member beside a +: members are encoders (and a path may not hold a +).")
    if member.startswith(SCHEME):
        raise UnknownEncoder(f"{name} has an ensemble as a member: name that one's members instead.")
    if weight == 0:
        raise UnknownEncoder(f"{name} gives {member} the weight 0: leave it out, or weigh it more.")
    return Member(member, weight)


def name_of(members: Sequence[Member]) -> str:
    """The name of the ensemble of these members; what `parse` reads."""
    parts = [(np.format_float_positional(member.weight, trim="-"), member.name) for member in members]
    return SCHEME + "+".join(name if weight == "1" else f"{weight}:{name}" for weight, name in parts)


def _joined(encoders: Sequence[Encoder], weights: Sequence[float], name: str) -> JoinedTower:
    towers = [encoder.tower(name) for encoder in encoders]
    return JoinedTower(towers, weights, first_to_last=_largest_first(towers) if name == "image" else None)


def _largest_first(towers: Sequence[Tower]) -> list[int]:
    """The towers of pictures, the one that wants the largest first: a JPEG is decoded once, at the scale that is enough
    for the tower which first asks.
    """
    from PIL import Image

    sizes = [tower.prepare(Image.new("RGB", (1, 1))).size for tower in towers]
    return sorted(range(len(towers)), key=lambda number: -sizes[number])


def _store(members: Sequence[Member], encoders: Sequence[Encoder], folder: Path) -> None:
    """Writes down the members, those whose text towers are heavy to load below `folder`; nothing if one cannot be."""
    with suppress(NotStorable), atomic_folder(folder) as new:
        entries = []
        for number, (member, encoder) in enumerate(zip(members, encoders, strict=True)):
            below = str(number) if encoder.store_text else ""
            if encoder.store_text:
                encoder.store_text(new / below)
                if not (new / below).is_dir():
                    raise NotStorable
            entries.append(
                {"name": member.name, "weight": member.weight, "checksum": encoder.checksum, "folder": below}
            )
        (new / STORED).write_text(json.dumps(entries, indent=1) + "\n", encoding="utf-8")


def load_stored_ensemble(folder: Path) -> JoinedTower:
    """The text tower of an ensemble as `store_text` wrote it, without torch.

    Raises `EncoderUnavailable` if its files cannot be read, `EncoderMismatch` if a member that is not stored there has
    other weights by now.
    """
    try:
        entries = json.loads((folder / STORED).read_text(encoding="utf-8"))
        return JoinedTower([_open(entry, folder) for entry in entries], [entry["weight"] for entry in entries])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise EncoderUnavailable(
            f"The text tower stored in {folder} cannot be read ({error}); delete that folder, and searches"
            " load the whole models instead."
        ) from error


def _open(entry: Mapping[str, Any], folder: Path) -> Tower:
    if entry["folder"]:
        return load_stored(folder / entry["folder"])
    encoder = load_encoder(entry["name"])
    if encoder.checksum != entry["checksum"]:
        raise EncoderMismatch(
            f"The library's vectors were made with {entry['name']} of other weights ({entry['checksum']}, now "
            f"{encoder.checksum}): put those back, or index into another library."
        )
    return encoder.tower("text")
