"""The checkpoint as the two ONNX files that rclip loads; runs where torch and onnx are.

python -m benchmarks.photos.onnx_export CHECKPOINT FOLDER
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import open_clip
import torch

from benchmarks.photos.weights import ARCHITECTURE

# As in rclip 3.3.0's model_download.py.
SUBFOLDER = "ViT-B-32-256-datacomp_s34b_b86k"
VISUAL, TEXTUAL, VOCABULARY = "visual.onnx", "textual.onnx", "tokenizer/bpe_simple_vocab_16e6.txt.gz"

SIDE, CONTEXT = 256, 77


class Tower(torch.nn.Module):
    """One of the model's two functions as a module."""

    def __init__(self, model: Any, function: str) -> None:
        super().__init__()
        self.model, self.function = model, function

    def forward(self, value: Any) -> Any:
        """The tower's vectors."""
        return getattr(self.model, self.function)(value)


def export(checkpoint: Path, folder: Path) -> None:
    """Writes both towers, float32, with any number of inputs, and the vocabulary beside them."""
    model = open_clip.create_model(ARCHITECTURE, pretrained=str(checkpoint))
    model.eval()
    torch.backends.mha.set_fastpath_enabled(False)  # ONNX knows attention by its parts
    (folder / SUBFOLDER).mkdir(parents=True, exist_ok=True)
    inputs = {VISUAL: torch.zeros(2, 3, SIDE, SIDE), TEXTUAL: torch.zeros(2, CONTEXT, dtype=torch.int64)}
    for (file, example), function in zip(inputs.items(), ("encode_image", "encode_text"), strict=True):
        torch.onnx.export(
            Tower(model, function),
            (example,),
            str(folder / SUBFOLDER / file),
            input_names=["input"],
            output_names=["output"],
            dynamic_axes={"input": {0: "n"}, "output": {0: "n"}},
            opset_version=17,
            dynamo=False,  # the older way needs no further package
        )
    vocabulary = folder / VOCABULARY
    vocabulary.parent.mkdir(exist_ok=True)
    shutil.copy(Path(open_clip.__file__).parent / vocabulary.name, vocabulary)


if __name__ == "__main__":
    export(Path(sys.argv[1]), Path(sys.argv[2]))
