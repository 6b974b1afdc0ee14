"""Embedding photos alone: the tower's rate beside the same model in torch's float32, and how near the vectors are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from PIL import Image

from evaluation.speed.clock import best_seconds
from evaluation.speed.figures import Aim, Figure
from evaluation.speed.setting import Setting
from indexer.encoders import load_encoder
from indexer.encoders.base import unit_rows
from indexer.encoders.open_clip_source import quiet
from indexer.items import Float32Array
from indexer.photos.opening import open_photo

BATCH, BATCHES, ROUNDS = 8, 4, 3

FASTER, TRUE = Aim(least=2.3), Aim(least=0.999)


def measure(setting: Setting) -> Iterator[Figure]:
    """Photos a second of ready arrays, and the smallest cosine between the vectors of both ways."""
    import open_clip  # late: the other measurements do without
    import torch

    name = setting.checkpoint()
    tower = load_encoder(name, device=setting.device).tower("image")
    files = sorted(setting.jpegs(640, 480, BATCH * BATCHES).iterdir())
    ready = [tower.prepare(open_photo(path)) for path in files]
    batches = [ready[at : at + BATCH] for at in range(0, len(ready), BATCH)]
    with quiet():
        model, _, transform = open_clip.create_model_and_transforms(
            setting.reference, pretrained=name.partition("/")[2]
        )
    model.eval()
    tensors = [
        torch.stack([transform(Image.open(path)) for path in files[at : at + BATCH]])
        for at in range(0, len(files), BATCH)
    ]

    def plain() -> list[Any]:
        with torch.inference_mode():
            return [model.encode_image(batch) for batch in tensors]

    ours = np.concatenate([tower.embed(batch) for batch in batches])
    theirs: Float32Array = unit_rows(torch.cat(plain()).numpy())
    took = best_seconds({"tower": lambda: [tower.embed(batch) for batch in batches], "torch": plain}, ROUNDS)
    rates = {way: len(files) / seconds for way, seconds in took.items()}
    label = f"{setting.reference}, batches of {BATCH}"
    yield Figure(label, rates["tower"], "photos/s", rates["torch"], "torch in float32", FASTER)
    yield Figure(f"{label}, smallest cosine", float((ours * theirs).sum(1).min()), "", aim=TRUE)
