"""What runs in the environments of peers of photo search: `python -m benchmarks.inside_photos export|ask ...`."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

# What rclip 3.3.0 downloads is of this form, learnt on DataComp.
ARCHITECTURE = "ViT-B-32-256"

# As in rclip 3.3.0's model_download.py.
SUBFOLDER = "ViT-B-32-256-datacomp_s34b_b86k"
VISUAL, TEXTUAL, VOCABULARY = "visual.onnx", "textual.onnx", "tokenizer/bpe_simple_vocab_16e6.txt.gz"

SIDE, CONTEXT = 256, 77


def module_of(model: Any, function: str) -> Any:
    """One of a model's functions as a torch module, whose weights are the model's: others are constants to ONNX."""
    import torch

    class Tower(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, value: Any) -> Any:
            return getattr(model, function)(value)

    return Tower()


def export(checkpoint: str, folder: str) -> None:
    """Writes both towers, float32, with any number of inputs, and the vocabulary beside them."""
    import open_clip
    import torch

    model = open_clip.create_model(ARCHITECTURE, pretrained=checkpoint)
    model.eval()
    torch.backends.mha.set_fastpath_enabled(False)  # ONNX knows attention by its parts
    (Path(folder) / SUBFOLDER).mkdir(parents=True, exist_ok=True)
    inputs = {VISUAL: torch.zeros(2, 3, SIDE, SIDE), TEXTUAL: torch.zeros(2, CONTEXT, dtype=torch.int64)}
    for (file, example), function in zip(inputs.items(), ("encode_image", "encode_text"), strict=True):
        torch.onnx.export(
            module_of(model, function),
            (example,),
            str(Path(folder) / SUBFOLDER / file),
            input_names=["input"],
            output_names=["output"],
            dynamic_axes={"input": {0: "n"}, "output": {0: "n"}},
            opset_version=17,
            dynamo=False,  # the older way needs no further package
        )
    vocabulary = Path(folder) / VOCABULARY
    vocabulary.parent.mkdir(exist_ok=True)
    shutil.copy(Path(open_clip.__file__).parent / vocabulary.name, vocabulary)


def ask(index: str, model: str, sentence: str, k: str) -> None:
    """Asks clip-retrieval's service as its server does from start to first answer; prints the nearest photos' paths."""
    from clip_retrieval.clip_back import ClipOptions, KnnService, load_clip_indices

    options = ClipOptions(
        indice_folder="",
        clip_model=model,
        enable_hdf5=False,
        enable_faiss_memory_mapping=True,
        columns_to_return=["image_path"],
        reorder_metadata_by_ivf_index=False,
        enable_mclip_option=False,
        use_jit=False,
        use_arrow=False,
        provide_safety_model=False,
        provide_violence_detector=False,
        provide_aesthetic_embeddings=False,
    )
    paths = Path(index) / "indices_paths.json"
    paths.write_text(json.dumps({"photos": index}))
    service = KnnService(clip_resources=load_clip_indices(str(paths), options))
    for hit in service.query(text_input=sentence, num_images=int(k), num_result_ids=int(k), deduplicate=False):
        print(hit["image_path"])


if __name__ == "__main__":
    export(*sys.argv[2:]) if sys.argv[1] == "export" else ask(*sys.argv[2:])
