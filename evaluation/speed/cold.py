"""A cold question: from the start of the process to the printed answer, beside a Python that only imports."""

from __future__ import annotations

from collections.abc import Iterator

from evaluation.speed.figures import Aim, Figure
from evaluation.speed.processes import BASE, Command, base, by_turns, descry
from evaluation.speed.setting import Setting, short
from indexer.encoders import load_encoder
from indexer.shipped import shipped

ROUNDS = 9
SENTENCE = "two dogs playing in the snow"
PHOTO = shipped("photos", "cat.jpg")

IMPORTS = f"python -c '{BASE}'"

# Times the imports, for the encoder that travels with Descry and for a large one.
SMALL, LARGE = Aim(most=1.6), Aim(most=2.5)
MEMORY = Aim(most=250)


def measure(setting: Setting) -> Iterator[Figure]:
    """Milliseconds and peak memory of searches by sentence and by photo; the imports are one of the turns.

    Processor time is told too: a busy machine changes it less than the clock's.
    """
    aims: dict[str, Aim | None] = {}
    commands: dict[str, Command] = {IMPORTS: base()}
    for size in setting.sizes:
        for label, name, is_large in setting.names():
            library = setting.library(load_encoder(name, device=setting.device), size)
            of = f"{label}, {short(size)} photos"
            commands[f"search, {of}"] = descry("--library", library, "search", SENTENCE)
            aims[f"search, {of}"] = LARGE if is_large else SMALL
            if not is_large:  # a large image tower is torch's
                commands[f"similar, {of}"] = descry("--library", library, "similar", PHOTO)
    took = by_turns(commands, ROUNDS, environment={"HF_HUB_OFFLINE": "1"})
    imports = took.pop(IMPORTS)
    yield Figure(IMPORTS, 1000 * imports.seconds, "ms")
    yield Figure(f"{IMPORTS}, memory", imports.megabytes, "MB")
    for name, one in took.items():
        yield Figure(name, 1000 * one.seconds, "ms", 1000 * imports.seconds, "imports alone", aims.get(name))
        spent, least = 1000 * one.cpu_seconds, 1000 * imports.cpu_seconds
        yield Figure(f"{name}, processor time", spent, "ms", least, "imports alone", aims.get(name))
        yield Figure(f"{name}, memory", one.megabytes, "MB", aim=MEMORY)
