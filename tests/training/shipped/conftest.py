"""A very small world to train in: drawn photos with captions and labels, and starting weights of the real form."""

import gzip
import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from starting_weights import write_starting_weights

COLOURS = {"red": (220, 30, 30), "green": (30, 200, 40), "blue": (30, 40, 220), "yellow": (230, 220, 30)}

CONFIG = """
seed = 1
size = 32
hidden = 8
words = "words.toml"
[start]
image = "image"
text = "text"
[text]
tokens = 29528
token_width = 8
width = 16
layers = 1
heads = 2
context = 16
dimension = 12
[augmentation]
[paraphrases]
files = ["sentences.jsonl.gz"]
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
[blend]
photos = 0.5
together = 0.25
start = 0.25
[committee]
regularisation = 1.0
power = 0.5
labels = 0.5
flatten = 0.2
neighbours = 3
against = 0.3
room = 0.2
[follow.image]
regularisation = 0.1
match = 4.0
scale = 25.0
others = 16
plan = { steps = 4, batch = 12, check_every = 2, report_every = 2, rates = { head = 1e-3 } }
[follow.text]
regularisation = 0.1
match = 4.0
scale = 25.0
others = 16
plan = { steps = 4, batch = 12, check_every = 2, report_every = 2, rates = { text = 1e-3 } }
"""
STAGE = """
[stage.{name}]
captions = 2
paraphrases = {paraphrases}
word_drop = 0.1
frozen_blocks = 1
sizes = [24, 32]
templates = 3
views = 2
weights = {{ captions = 1.0, words = 1.0, paraphrases = 1.0 }}
plan = {{ steps = {steps}, batch = 12, check_every = 4, report_every = 2, rates = {{ {rates} }} }}
"""


def picture(colour: str, seed: int) -> Image.Image:
    noise = np.random.default_rng(seed).normal(0, 20, (40, 40, 3))
    return Image.fromarray(np.clip(np.array(COLOURS[colour]) + noise, 0, 255).astype(np.uint8))


@pytest.fixture
def world(tmp_path: Path) -> Path:
    """A folder with `data`, `models` and `config.toml`."""
    _data(tmp_path / "data")
    write_starting_weights(tmp_path / "models")
    stages = {
        "begin": ("text = 1e-2, head = 1e-2, objective = 1e-2", 2, 8),
        "photos": ("trunk = 1e-3, head = 1e-3, objective = 1e-3", 0, 6),
        "meet": ("text = 1e-3, head = 1e-3, objective = 1e-3", 2, 4),
        "together": ("trunk = 1e-3, text = 1e-3, head = 1e-3, objective = 1e-3", 2, 4),
    }
    (tmp_path / "config.toml").write_text(
        CONFIG + "".join(STAGE.format(name=n, rates=r, paraphrases=p, steps=s) for n, (r, p, s) in stages.items())
    )
    (tmp_path / "words.toml").write_text('[everyday]\n"red thing" = "1, 2"\n"blue thing" = "3"\n')
    return tmp_path


def _data(folder: Path) -> None:
    (folder / "images").mkdir(parents=True)
    rows = []
    for number in range(24):
        colour = list(COLOURS)[number % 4]
        picture(colour, number).save(folder / "images" / f"{number}.png")
        captions = [f"a {colour} photo", f"everything is {colour}"]
        split = "val" if number >= 16 else "train"
        rows.append(json.dumps({"image": f"images/{number}.png", "captions": captions, "split": split}))
    (folder / "captions.jsonl").write_text("\n".join(rows) + "\n")
    with tarfile.open(folder / "labelled.tar", "w") as tar:
        for number in range(12):
            colour = list(COLOURS)[number % 4]
            buffer = io.BytesIO()
            picture(colour, number).save(buffer, "JPEG")
            for suffix, content in (("jpg", buffer.getvalue()), ("txt", colour.encode())):
                info = tarfile.TarInfo(f"{number:06}.{suffix}")
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    with gzip.open(folder / "sentences.jsonl.gz", "wt") as file:
        for colour in COLOURS:
            file.write(json.dumps([f"a {colour} square", f"a {colour} box", f"it is {colour}"]) + "\n")
