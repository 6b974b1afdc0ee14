"""A very small world to train in: drawn photos with captions and labels, and starting weights of the real form."""

import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from starting_weights import write_starting_weights

COLOURS = {"red": (220, 30, 30), "green": (30, 200, 40), "blue": (30, 40, 220), "yellow": (230, 220, 30)}

RECIPE = """
seed = 1
size = 32
image = "image"
text = "text"
everyday = "everyday.toml"
templates = ["{}", "a photo of {}"]
measured = ["captioned"]
[heads]
image = 8
text = 8
dimension = 12
[augmentation]
[[source]]
name = "captioned"
path = "captions.jsonl"
reader = "captions_jsonl"
side = 32
share = 0.6
[[source]]
name = "labelled"
path = "labelled.tar"
reader = "labelled_tar"
side = 32
share = 0.4
held_out = 10
[begin]
captions = 2
wrong_captions = 6
names = 0.5
noise = 0.1
[begin.plan]
steps = 8
batch = 12
check_every = 4
report_every = 2
rates = { image = 1e-2, text = 1e-2, objective = 1e-2 }
[finetune]
runs = [0.75, 0.25]
captions = 2
wrong_captions = 6
wrong_photos = 12
names = 0.5
frozen = 1
sizes = [24, 32]
[finetune.plan]
steps = 4
batch = 12
check_every = 2
report_every = 2
rates = { trunk = 1e-3, image = 1e-3, text = 1e-3, objective = 1e-3 }
[join]
learned = 0.5
regularisation = 1.0
power = 0.5
labels = 0.5
flatten = 0.2
neighbours = 3
against = 0.3
room = 0.2
match = 4.0
scale = 25.0
others = 16
names = 0.3
plan = { steps = 4, batch = 12, check_every = 2, report_every = 2, rates = { image = 1e-3, text = 1e-3 } }
"""


def picture(colour: str, seed: int) -> Image.Image:
    noise = np.random.default_rng(seed).normal(0, 20, (40, 40, 3))
    return Image.fromarray(np.clip(np.array(COLOURS[colour]) + noise, 0, 255).astype(np.uint8))


@pytest.fixture
def world(tmp_path: Path) -> Path:
    """A folder with `data`, `models` and `recipe.toml`."""
    data = tmp_path / "data"
    (data / "images").mkdir(parents=True)
    rows = []
    for number in range(24):
        colour = list(COLOURS)[number % 4]
        picture(colour, number).save(data / "images" / f"{number}.png")
        captions = [f"a {colour} photo", f"everything is {colour}"]
        split = "val" if number >= 16 else "train"
        rows.append(json.dumps({"image": f"images/{number}.png", "captions": captions, "split": split}))
    (data / "captions.jsonl").write_text("\n".join(rows) + "\n")
    with tarfile.open(data / "labelled.tar", "w") as tar:
        for number in range(12):
            colour = list(COLOURS)[number % 4]
            buffer = io.BytesIO()
            picture(colour, 100 + number).save(buffer, "JPEG")
            for suffix, content in (("jpg", buffer.getvalue()), ("txt", colour.encode())):
                info = tarfile.TarInfo(f"{number:06}.{suffix}")
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    write_starting_weights(tmp_path / "models")
    (tmp_path / "recipe.toml").write_text(RECIPE)
    (tmp_path / "everyday.toml").write_text('[everyday]\n"red thing" = "1, 2"\n"blue thing" = "3"\n')
    return tmp_path
