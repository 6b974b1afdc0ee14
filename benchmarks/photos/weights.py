"""One model for all: rclip's architecture with weights by chance, as a checkpoint of open_clip."""

from __future__ import annotations

from pathlib import Path

from indexer.atomic import atomic_write

# What rclip 3.3.0 downloads is of this form, learnt on DataComp.
ARCHITECTURE = "ViT-B-32-256"
SEED = 0


def make(path: Path) -> None:
    """Writes the checkpoint, unless it is there."""
    if path.is_file():
        return
    import open_clip
    import torch

    torch.manual_seed(SEED)
    with atomic_write(path) as new:
        torch.save(open_clip.create_model(ARCHITECTURE).state_dict(), new)
