"""A few dozen drawn photos with captions and labels, and an open_clip model that trains on them in seconds."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

COLOURS = {"red": (220, 30, 30), "green": (30, 200, 40), "blue": (30, 40, 220), "yellow": (230, 220, 30)}
TINY = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 32, "head_width": 16, "patch_size": 8},
    "text_cfg": {"context_length": 12, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 2},
}
# Everything small, and float32, so that numbers can be compared.
SETTINGS = """
[[train]]
path = "captions.jsonl"
[[validation]]
path = "captions.jsonl"
split = "val"
[model]
name = "open_clip:{model}"
weights = "random"
[learning]
batch = 8
chunk = 0
epochs = 3
captions = 2
image_rate = 2e-3
text_rate = 2e-3
average = 0.5
precision = "float32"
patience = 0
"""

Train = Callable[..., int]


def picture(colour: str, seed: int) -> Image.Image:
    noise = np.random.default_rng(seed).normal(0, 20, (40, 48, 3))
    return Image.fromarray(np.clip(np.array(COLOURS[colour]) + noise, 0, 255).astype(np.uint8))


@pytest.fixture
def gallery(tmp_path: Path) -> Path:
    """A folder with 24 captioned photos to learn from and 8 to measure on, and the tiny model's configuration."""
    (tmp_path / "images").mkdir()
    rows = []
    for number in range(32):
        colour = list(COLOURS)[number % 4]
        picture(colour, number).save(tmp_path / "images" / f"{number}.png")
        captions = [f"a {colour} photo", f"everything is {colour}", f"number {number} is {colour}"]
        split = "val" if number >= 24 else "train"
        rows.append(json.dumps({"image": f"images/{number}.png", "captions": captions, "split": split}))
    (tmp_path / "captions.jsonl").write_text("\n".join(rows) + "\n")
    (tmp_path / "tiny-clip.json").write_text(json.dumps(TINY))
    (tmp_path / "mine.toml").write_text(SETTINGS.format(model=tmp_path / "tiny-clip.json"))
    return tmp_path


@pytest.fixture
def labelled(gallery: Path) -> Path:
    """The same folder with `labelled.tar`: 12 photos of 4 classes."""
    with tarfile.open(gallery / "labelled.tar", "w") as tar:
        for number in range(12):
            colour = list(COLOURS)[number % 4]
            buffer = io.BytesIO()
            picture(colour, number).save(buffer, "JPEG")
            for suffix, content in (("jpg", buffer.getvalue()), ("txt", f"{colour} wall".encode())):
                info = tarfile.TarInfo(f"{number:06}.{suffix}")
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    return gallery


@pytest.fixture
def train(gallery: Path) -> Train:
    """`python -m training COMMAND` on the gallery: `train("contrastive", more_toml, out="out")` gives its exit code."""
    from training.__main__ import main

    def run(command: str, more: str = "", *, out: str = "out") -> int:
        path = gallery / "run.toml"
        path.write_text(merged((gallery / "mine.toml").read_text(), more))
        options = ["--config", str(path), "--data", str(gallery), "--out", str(gallery / out), "--device", "cpu"]
        return main([command, *options])

    return run


def merged(text: str, more: str) -> str:
    """TOML with further lines `table.key = value` put into their tables, in place of what is there."""
    lines = text.splitlines()
    for line in filter(None, more.splitlines()):
        place, value = (part.strip() for part in line.split("=", 1))
        table, _, key = place.rpartition(".")
        if not table:
            lines.insert(0, line)
            continue
        if f"[{table}]" not in lines:
            lines.append(f"[{table}]")
        start = lines.index(f"[{table}]") + 1
        end = next((i for i in range(start, len(lines)) if lines[i].startswith("[")), len(lines))
        lines[start:end] = [one for one in lines[start:end] if one.split(" ")[0] != key] + [f"{key} = {value}"]
    return "\n".join(lines) + "\n"
