"""clip-retrieval: embeddings, then an index by autofaiss; its questions are a server's, asked here in its process.

Its own `filter` command knows OpenAI's weights only, which a hub would have to give.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.environments import ROOT
from benchmarks.photos.base import SENTENCE, K, Place
from benchmarks.photos.weights import ARCHITECTURE
from evaluation.speed.processes import Command

# With its default, 256, it warms up on two batches of as many pictures and sentences, however few photos there are:
# minutes of a core.
BATCH = 32


class Peer:
    """Three folders: embeddings, metadata, indexes."""

    def prepare(self, place: Place) -> None:
        """Nothing: open_clip reads the checkpoint as it is."""
        place.store.mkdir(parents=True, exist_ok=True)

    def settings(self, place: Place) -> Mapping[str, str]:  # noqa: ARG002  its peers' settings need the place
        """Off-line, as everyone is here."""
        return {"HF_HUB_OFFLINE": "1", "WANDB_MODE": "disabled", "PYTHONPATH": str(ROOT)}

    def _model(self, place: Place) -> str:
        return f"open_clip:{ARCHITECTURE}/{place.weights}"

    def index(self, place: Place, photos: Path) -> Sequence[Command]:
        """Embeds, then indexes."""
        tool, store = place.environment.tool("clip-retrieval"), place.store
        embed: Command = [
            *(tool, "inference", "--input_dataset", photos, "--output_folder", store / "embeddings"),
            *("--clip_model", self._model(place), "--enable_text", "False"),
            *("--num_prepro_workers", "2", "--batch_size", str(BATCH)),
        ]
        index: Command = [
            *(tool, "index", "--embeddings_folder", store / "embeddings", "--index_folder", store / "index"),
        ]
        return [embed, index]

    def ask(self, place: Place, photos: Path) -> Command:  # noqa: ARG002  its peers have no index to name
        """Its service, without the server around it."""
        script = ["-m", "benchmarks.photos.clip_retrieval_ask"]
        return [place.environment.python, *script, place.store / "index", self._model(place), SENTENCE, str(K)]

    def held(self, place: Place) -> Sequence[Path]:
        """Embeddings as the index's source, metadata, index."""
        return [place.store / "embeddings", place.store / "index"]
