"""Photo search: each peer one file and a row here; all run whole processes over the same photos and weights.

The weights are one model of the form that rclip uses, ViT-B-32-256, filled by chance and the same for everyone: what
it takes to index and to ask does not depend on what was learnt, and no hub is needed.
"""

from __future__ import annotations

from benchmarks.peers import Row

# It imports pkg_resources, which setuptools has dropped since.
CLIP_RETRIEVAL = ("clip-retrieval==2.45.0", "setuptools==80.9.0")

PEERS: dict[str, Row] = {
    "descry": Row("descry", (), "ViT-B-32-256, the weights of all"),
    "descry, own encoder": Row("descry_embedded", (), "the encoder that travels with it"),
    "rclip": Row("rclip", ("rclip==3.3.0",), "ViT-B-32-256 in ONNX, float32"),
    "clip-retrieval": Row("clip_retrieval", CLIP_RETRIEVAL, "ViT-B-32-256 by open_clip; asked in Python"),
}
