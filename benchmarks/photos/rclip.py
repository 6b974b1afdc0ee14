"""rclip: one command that indexes the folder it stands in and searches it."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.environments import ROOT, CannotRun, Environment
from benchmarks.photos.base import SENTENCE, K, Place
from evaluation.speed.processes import Command

# What torch's exporter needs beside torch, in the exporting environment alone.
EXPORTER = ("onnx==1.23.2",)


class Peer:
    """Its data folder holds the model and the database."""

    def prepare(self, place: Place) -> None:
        """Exports the weights to where it looks for what it would download."""
        models = place.weights.with_suffix(".onnx")
        if not models.is_dir():
            part = models.with_suffix(".part")
            python = Environment.below(place.weights.parent, EXPORTER, is_beside=True).python
            command = [str(python), "-m", "benchmarks.photos.onnx_export", str(place.weights), str(part)]
            done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
            if done.returncode:
                raise CannotRun(f"the weights cannot be exported: {done.stderr.strip().splitlines()[-1]}")
            part.rename(models)
        place.store.mkdir(parents=True, exist_ok=True)
        for part in models.iterdir():
            (place.store / part.name).symlink_to(part)

    def settings(self, place: Place) -> Mapping[str, str]:
        """Where its data are."""
        return {"RCLIP_DATADIR": str(place.store), "HF_HUB_OFFLINE": "1"}

    def index(self, place: Place, photos: Path) -> Sequence[Command]:
        """It indexes before it answers; the one question is part of it."""
        return [self._in(photos, place, [])]

    def ask(self, place: Place, photos: Path) -> Command:
        """Without looking for changes, as its help advises for quick answers."""
        return self._in(photos, place, ["--no-indexing"])

    def _in(self, photos: Path, place: Place, options: Sequence[str]) -> Command:
        tool = place.environment.tool("rclip")
        return ["env", f"--chdir={photos}", tool, *options, "--top", str(K), "--filepath-only", SENTENCE]

    def held(self, place: Place) -> Sequence[Path]:
        """Its database."""
        return [place.store / "db.sqlite3"]
