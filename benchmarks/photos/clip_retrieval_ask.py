"""One question to clip-retrieval's service, in its own environment: what its server does from start to first answer."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from clip_retrieval.clip_back import ClipOptions, KnnService, load_clip_indices


def ask(index: Path, model: str, sentence: str, k: int) -> None:
    """Prints the paths of the nearest photos."""
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
    paths = index / "indices_paths.json"
    paths.write_text(json.dumps({"photos": str(index)}))
    service = KnnService(clip_resources=load_clip_indices(str(paths), options))
    for hit in service.query(text_input=sentence, num_images=k, num_result_ids=k, deduplicate=False):
        print(hit["image_path"])


if __name__ == "__main__":
    ask(Path(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4]))
