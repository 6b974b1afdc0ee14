"""The stages in which the shipped encoder is made, each leaving files that the next one takes up.

prepare   photos decoded, sentences' vectors, features of the untouched trunk
begin     both heads learn from those features
finetune  trunk and heads learn from photos, more than once; the mean of the weights
join      what the heads say and canonical correlations of the new features, as one answer that new heads are taught
export    the folder that `indexer.encoders.embedded` reads
"""

from __future__ import annotations

import argparse
import math
import shutil
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from evaluation.datasets import DataError
from indexer.encoders.embedded_image import Trunk
from indexer.encoders.weights import map_arrays
from training.data import Ahead, crop, relight
from training.features import BATCH, sentence_vectors, served
from training.loop import Loop, draw_curve, require_matplotlib
from training.losses import contrastive, word_choice
from training.models.embedded import pack, use_matrix_depthwise, write_encoder
from training.shipped.corpus import Batch
from training.shipped.join import join as join
from training.shipped.recipe import Stage, read_recipe
from training.shipped.run import Run
from training.validation import WAYS

RECIPE = Path(__file__).with_name("recipe.toml")

# bfloat16 arithmetic with float32 weights: as fast as bfloat16 weights and more exact.
autocast = partial(torch.autocast, "cpu", torch.bfloat16)

# The bound of both inverse temperatures: beyond it small data is only memorised.
SHARPEST = 60.0


def prepare(run: Run) -> None:
    """Writes `photos/`, `sentences.pt` and `features_start.pt`."""
    assert run.prompts
    sentences = run.corpus.sentences
    vectors = partial(sentence_vectors, run.models / run.recipe.text, sentences)
    run.once("sentences.pt", lambda: {"sentences": sentences, "vectors": vectors()})
    run.once("features_start.pt", lambda: run.features(run.start.weights))


class Objective(nn.Module):
    """Contrastive loss, and choices among words, each kind with an inverse temperature of its own."""

    def __init__(self, run: Run, stage: Stage, draw: np.random.Generator) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(math.log(20.0)))
        self.scale_of_names = nn.Parameter(torch.tensor(math.log(20.0)))
        self._run, self._stage, self._draw = run, stage, draw
        self._captions = run.corpus.pairs[run.corpus.is_caption]
        self._earlier: tuple[Tensor, npt.NDArray[np.int64]] | None = None

    def forward(self, batch: Batch, photos: Tensor, text: nn.Module) -> dict[str, Tensor]:
        """The losses of a batch by name, from its photos' unit rows `[n, dim]`.

        Captions of other photos, and photos of earlier steps, are wrong answers too: texts are cheap here, their
        transformer stands still.
        """
        more = self._captions[self._draw.choice(len(self._captions), self._stage.wrong_captions, replace=False)]
        words = [vocabulary.drawn(self._draw) for vocabulary in self._run.names]
        asked = [batch.sentences, more[:, 0], *words]
        rows = functional.normalize(text(self._run.sentences[np.concatenate(asked)]).float(), dim=-1)
        sentences, wrong, *named = torch.split(rows, [len(one) for one in asked])
        scale = self.scale.exp().clamp(max=SHARPEST)
        losses = {
            "pairs": contrastive(
                scale * sentences @ photos.T,
                batch.owners,
                batch.ignored,
                wrong_photos=self._wrong_photos(scale * sentences, batch),
                wrong_sentences=_but(scale * photos @ wrong.T, batch.rows, more[:, 1]),
            )
        }
        sharp = self.scale_of_names.exp().clamp(max=SHARPEST)
        choices = [
            word_choice(sharp * photos @ answers.T, vocabulary.targets[batch.rows].float())
            for vocabulary, answers in zip(self._run.names, named, strict=True)
        ]
        losses["names"] = self._stage.names * torch.stack(choices).sum()
        self._remember(photos.detach(), batch.rows)
        return losses

    def _wrong_photos(self, sentences: Tensor, batch: Batch) -> Tensor | None:
        if self._earlier is None:
            return None
        rows, owners = self._earlier
        return _but(sentences @ rows.T, batch.rows[batch.owners.numpy()], owners)

    def _remember(self, photos: Tensor, rows: npt.NDArray[np.int64]) -> None:
        if self._stage.wrong_photos:
            before = self._earlier or (photos[:0], rows[:0])
            together = torch.cat([photos, before[0]]), np.concatenate([rows, before[1]])
            self._earlier = together[0][: self._stage.wrong_photos], together[1][: self._stage.wrong_photos]


def _but(logits: Tensor, rows: npt.NDArray[np.int64], others: npt.NDArray[np.int64]) -> Tensor:
    """Logits `[n, m]` with -inf where both are of the same photo."""
    return logits.masked_fill(torch.from_numpy(rows[:, None] == others[None, :]), float("-inf"))


def begin(run: Run) -> None:
    """Both heads, from the untouched trunk's features."""
    stage = run.recipe.begin
    stored = run.stored("features_start.pt", "prepare")
    image, text = run.new_heads()
    sampler = run.sampler(stage)
    objective = Objective(run, stage, sampler.draw)
    torch.manual_seed(run.recipe.seed)

    def losses(_: int) -> dict[str, Tensor]:
        batch = sampler.batch()
        rows = stored[batch.rows].float()
        rows = rows * (1 + stage.noise * torch.randn_like(rows))
        parts: dict[str, Tensor] = objective(batch, functional.normalize(image(rows), dim=-1), text)
        return parts

    @torch.no_grad()
    def check() -> dict[str, float]:
        shown = [functional.normalize(image(stored[rows].float()), dim=-1) for rows in run.shown()]
        return run.measure(shown, text)

    modules = {"image": image, "text": text, "objective": objective}
    Loop(modules, stage.plan, run.out, name="begin").run(losses, check=check, sampler=sampler)


def finetune(run: Run) -> None:
    """Trunk and heads, from photos: the mean of the weights of runs that draw differently."""
    shares = run.recipe.finetune.runs
    names = [f"finetune_{number}" for number in range(len(shares))]
    for name in names:
        finetune_once(run, name)
    run.once("finetune.pt", lambda: {"modules": _mean([run.stored(f"{name}.pt", name) for name in names], shares)})


def _mean(runs: Sequence[dict[str, Any]], shares: Sequence[float]) -> dict[str, dict[str, Tensor]]:
    """The weighted mean of the weights of several runs' modules, by module and name."""
    modules = [one["modules"] for one in runs]
    return {
        module: {
            key: torch.stack([share * one[module][key] for share, one in zip(shares, modules, strict=True)]).sum(dim=0)
            for key in weights
        }
        for module, weights in modules[0].items()
    }


def finetune_once(run: Run, name: str) -> None:
    """One run, `finetune_0` or another, that leaves the file of its name."""
    stage, number = run.recipe.finetune, int(name.rpartition("_")[2])
    trunk = Trunk(run.start.shape)
    trunk.load_state_dict(run.start.weights)
    trunk.to(memory_format=torch.channels_last)
    trunk.blocks[: stage.frozen].requires_grad_(False)
    use_matrix_depthwise(trunk)
    image, text = run.new_heads()
    begun = run.stored("begin.pt", "begin")["modules"]
    sampler = run.sampler(stage, number)
    objective = Objective(run, stage, np.random.default_rng(run.recipe.seed + number))
    modules = {"trunk": trunk, "image": image, "text": text, "objective": objective}
    for module, weights in begun.items():
        modules[module].load_state_dict(weights)
    ahead = Ahead(sampler, lambda step: _with_photos(run, stage, sampler.batch(), step, sampler.draw))

    def losses(step: int) -> dict[str, Tensor]:
        batch, photos = ahead(step)
        with autocast():
            rows = trunk(photos)
        parts: dict[str, Tensor] = objective(batch, functional.normalize(image(rows.float()), dim=-1), text)
        return parts

    @torch.no_grad()
    def check() -> dict[str, float]:
        return run.measure([_embedded(run, trunk, image, rows) for rows in run.shown()], text)

    Loop(modules, stage.plan, run.out, name=name).run(losses, check=check, sampler=ahead)


def _with_photos(run: Run, stage: Stage, batch: Batch, step: int, draw: np.random.Generator) -> tuple[Batch, Tensor]:
    """A batch and its photos, each cropped and lit anew, of the size that the stage has at that step."""
    size = stage.sizes[min(step, stage.plan.steps - 1) * len(stage.sizes) // stage.plan.steps]
    how = run.recipe.augmentation
    cropped = torch.stack([crop(run.corpus.photo(row), size, how, draw) for row in batch.rows.tolist()])
    return batch, relight(cropped, how, draw)


def _embedded(run: Run, trunk: nn.Module, head: nn.Module, rows: npt.NDArray[np.int64]) -> Tensor:
    parts = []
    for few in np.array_split(rows, max(1, len(rows) // BATCH)):
        photos = served(np.stack([run.corpus.photo(row) for row in few.tolist()]), run.recipe.size)
        with autocast():
            parts.append(trunk(photos).float())
    return functional.normalize(head(torch.cat(parts)), dim=-1)


def export(run: Run) -> str:
    """Writes the encoder's folder, with log and curve, and gives its checksum."""
    learnt = run.stored("join.pt", "join")["modules"]
    trunk = run.stored("finetune.pt", "finetune")["modules"]["trunk"]
    image = {f"trunk.{name}": value for name, value in trunk.items()}
    image |= {f"head.{name}": value for name, value in learnt["image"].items()}
    text = run.models / run.recipe.text
    folder = run.out / "encoder"
    checksum = write_encoder(
        folder,
        pack(image, learnt["text"], map_arrays(text / "model.safetensors")),
        blocks=run.start.shape,
        size=run.recipe.size,
        mode="squash",  # cropping the middle cost the first version three points of caltech101
        tokenizer=text / "tokenizer.json",
    )
    shutil.copyfile(run.out / "log.jsonl", folder / "training_log.jsonl")
    measures = {
        f"{source}/{way}_r10": f"{way.replace('_', ' ')} R@10, {source} held out"
        for source in run.recipe.measured
        for way in WAYS
    }
    draw_curve(run.out / "log.jsonl", folder / "curve.png", losses=("pairs", "photos", "sentences"), measures=measures)
    return checksum


STAGES: dict[str, Callable[[Run], Any]] = {
    "prepare": prepare,
    "begin": begin,
    "finetune": finetune,
    "join": join,
    "export": export,
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `python -m training shipped`."""
    parser.add_argument(
        "--stage",
        help=f"only this one of {', '.join(STAGES)}, from what the earlier ones left; or a run of "
        "finetune, on a core or machine of its own: finetune_0, finetune_1",
    )
    parser.add_argument("--config", type=Path, default=RECIPE, help="another recipe than that of the shipped encoder")
    parser.add_argument("--data", type=Path, required=True, help="the folder that the sources' paths start from")
    parser.add_argument("--models", type=Path, required=True, help="the folder with the weights to start from")
    parser.add_argument("--out", type=Path, required=True, help="where checkpoints, log and encoder are written")


def run(options: argparse.Namespace) -> None:
    """Runs one stage or all. Raises `DescryError` for what is wrong with the request or the data."""
    require_matplotlib()
    shipped = Run(read_recipe(options.config), options.data, options.models, options.out)
    runs = [f"finetune_{number}" for number in range(len(shipped.recipe.finetune.runs))]
    if options.stage in runs:
        finetune_once(shipped, options.stage)
    elif options.stage and options.stage not in STAGES:
        raise DataError(f"--stage {options.stage}: there are {', '.join([*STAGES, *runs])}.")
    else:
        for name in [options.stage] if options.stage else STAGES:
            STAGES[name](shipped)
