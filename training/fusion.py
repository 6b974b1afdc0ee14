"""Learn to ask with a detail of a photo and a sentence at once, and compare that with adding their vectors.

    python -m training fusion --data DATA --out OUT

The encoder stays as it is; what is learned is a small attention block over its vectors, which are computed once and
kept in `--out`. All ways are tuned on the same validation photos; `--report test` measures them on others.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from evaluation.datasets import DataError, Example
from evaluation.metrics import first_rank_by_similarity, recall_at
from indexer.encoders import DEFAULT, Encoder, load_encoder
from training.fusion_block import Asked, FusionBlock, added, blurred, right_among
from training.fusion_features import Questions, keep, kept, questions
from training.loop import Loop, Plan
from training.pairs import captioned
from training.settings import CONFIGS, DataSource, made, read_toml

CONFIG = CONFIGS / "fusion.toml"
SHARES = [part / 20 for part in range(21)]


@dataclass(frozen=True)
class Recipe:
    """What is asked and how long is learned; see `configs/fusion.toml`."""

    seed: int
    part: float
    cells: int
    heads: int
    noise: float
    batch: int
    steps: int
    check_every: int
    rate: float
    weight_decay: float
    train: DataSource
    validation: DataSource


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `python -m training fusion`."""
    parser.add_argument("--config", type=Path, default=CONFIG, help="other settings than those of fusion.toml")
    parser.add_argument("--model", default=DEFAULT, help="the encoder, as for `descry index --model`")
    parser.add_argument("--data", type=Path, required=True, help="the folder that paths of data start from")
    parser.add_argument("--out", type=Path, required=True, help="where vectors, checkpoints, log and block are written")
    parser.add_argument("--report", help="the split that is reported on, if not the one that chooses")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, mps ...")


def run(options: argparse.Namespace) -> None:
    """Trains the block, writes it and prints the comparison. Raises `DescryError` for what is wrong."""
    recipe = made(Recipe, read_toml(options.config), options.config)
    encoder = load_encoder(options.model, device=options.device)
    reported = replace(recipe.validation, split=options.report or recipe.validation.split)
    if encoder.dimension % recipe.heads:
        raise DataError(f"{options.config}: heads = {recipe.heads} does not divide the {encoder.dimension} dimensions.")
    # all read before the first is embedded, so that a bad line is named at once
    sets = [(source.split, captioned(source, options.data)) for source in (recipe.train, recipe.validation, reported)]
    learned, choosing, asked = (
        computed(encoder, examples, recipe, options.out / f"{split}.pt") for split, examples in sets
    )
    block = train(learned, choosing, recipe, options.out / _digest(recipe, encoder.checksum, *sets[0][1]))
    additions = [Addition.tuned(choosing, *means) for means in (_nothing(learned), _means(learned))]
    table = comparison(asked, additions, block)
    save_file(block.state_dict(), options.out / "fusion.safetensors")
    measured = {"encoder": encoder.name, "split": reported.split, "recalls": table}
    (options.out / "measured.json").write_text(json.dumps(measured, indent=1) + "\n", encoding="utf-8")
    print(in_words(table, f"{len(asked.photos)} photos, {reported.split}"))


def computed(encoder: Encoder, examples: Sequence[Example], recipe: Recipe, path: Path) -> Questions:
    """What can be asked of the examples, from `path` if an earlier run left it there."""
    key = _digest(encoder.name, encoder.checksum, recipe.part, recipe.cells, *examples)
    if (found := kept(path, key)) is not None:
        return found
    new = questions(encoder, examples, part=recipe.part, cells=recipe.cells)
    keep(new, path, key)
    return new


def _digest(*parts: object) -> str:
    """A short name for what something was made from: with other data, settings or weights it has another."""
    return hashlib.sha256("\n".join(map(repr, parts)).encode()).hexdigest()[:12]


def train(learned: Questions, choosing: Questions, recipe: Recipe, out: Path) -> FusionBlock:
    """The block after training, as it was at its best check. Goes on where a run of the same name was cut off."""
    torch.manual_seed(recipe.seed)
    block = FusionBlock(learned.photos.shape[1], recipe.heads)
    sharpness = _Sharpness()
    plan = Plan(
        steps=recipe.steps,
        batch=recipe.batch,
        rates={"block": recipe.rate, "sharpness": recipe.rate},
        weight_decay=recipe.weight_decay,
        average=0.95,
        check_every=recipe.check_every,
        best="score",
    )
    draw = torch.Generator().manual_seed(recipe.seed)

    def losses(_: int) -> dict[str, Tensor]:
        asked = _drawn(learned, recipe, draw)
        return {"fusion": right_among(block(asked.sentences, asked.details, asked.regions), asked.photos, sharpness())}

    def restore(state: Tensor) -> None:
        draw.set_state(state)

    loop = Loop({"block": block, "sharpness": sharpness}, plan, out, name="fusion")
    loop.run(
        losses,
        check=lambda: {"score": score(_fused(block, choosing.all_asked()), choosing)},
        state=draw.get_state,
        restore=restore,
    )
    return block


class _Sharpness(nn.Module):
    """The learned inverse temperature; it begins at 20, as wide as the cosines of these queries differ."""

    def __init__(self) -> None:
        super().__init__()
        self.logarithm = nn.Parameter(torch.tensor(3.0))

    def forward(self) -> Tensor:
        return self.logarithm.exp()


def _drawn(learned: Questions, recipe: Recipe, draw: torch.Generator) -> Asked:
    """A batch of queries, each after another photo, with the sentences moved by noise."""
    chosen = torch.randperm(len(learned.photos), generator=draw)[: recipe.batch]
    counts = torch.bincount(learned.owners, minlength=len(learned.photos))
    first = counts.cumsum(0) - counts
    nth = (torch.rand(len(chosen), generator=draw) * counts[chosen]).long()
    asked = learned.asked(first[chosen] + nth)
    return replace(asked, sentences=blurred(asked.sentences, recipe.noise, draw))


def comparison(asked: Questions, additions: Sequence[Addition], block: FusionBlock) -> dict[str, dict[str, float]]:
    """R@1/5/10 in percent of the ways to ask, one query a sentence."""
    queries = asked.all_asked()
    ways = {
        "sentence alone": queries.sentences,
        "detail alone": queries.details,
        **{addition.name: addition(queries) for addition in additions},
        "learned block": _fused(block, queries),
    }
    return {name: _recalls(rows, asked) for name, rows in ways.items()}


@dataclass(frozen=True)
class Addition:
    """Sentence and detail, each less a mean `[dim]`, added; the detail's part is `share`."""

    sentence_mean: Tensor
    detail_mean: Tensor
    share: float = 0.5

    @classmethod
    def tuned(cls, choosing: Questions, sentence_mean: Tensor, detail_mean: Tensor) -> Addition:
        """With the share that scores best."""
        queries = choosing.all_asked()
        tried = [cls(sentence_mean, detail_mean, share) for share in SHARES]
        return max(tried, key=lambda addition: score(addition(queries), choosing))

    @property
    def name(self) -> str:
        """What it is called in the comparison."""
        return f"added{', centred' if self.detail_mean.any() else ''} ({self.share:g})"

    def __call__(self, asked: Asked) -> Tensor:
        """Unit rows `[n, dim]`."""
        return added(asked.sentences - self.sentence_mean, asked.details - self.detail_mean, self.share)


def _nothing(learned: Questions) -> tuple[Tensor, Tensor]:
    zero = torch.zeros(learned.photos.shape[1])
    return zero, zero


def _means(learned: Questions) -> tuple[Tensor, Tensor]:
    """What all training sentences and all training details have in common: it tells no photo from another."""
    return learned.sentences.mean(dim=0), learned.details.mean(dim=0)


def score(rows: Tensor, asked: Questions) -> float:
    """The mean of R@1, R@5 and R@10 in percent: what both ways are tuned for."""
    return float(np.mean(list(_recalls(rows, asked).values())))


def _recalls(rows: Tensor, asked: Questions) -> dict[str, float]:
    similarity = (rows @ asked.photos.T).numpy()
    right = asked.owners.numpy()[:, None] == np.arange(len(asked.photos))[None, :]
    ranks = first_rank_by_similarity(similarity, right)
    return {f"R@{k}": 100 * recall_at(ranks, k) for k in (1, 5, 10)}


@torch.no_grad()
def _fused(block: FusionBlock, asked: Asked) -> Tensor:
    rows: Tensor = block(asked.sentences, asked.details, asked.regions)
    return rows


def in_words(table: Mapping[str, Mapping[str, float]], over: str) -> str:
    """The comparison as a table."""
    lines = [f"{'':24}{'R@1':>6}{'R@5':>6}{'R@10':>6}   ({over})"]
    lines += [f"{name:24}" + "".join(f"{value:6.1f}" for value in row.values()) for name, row in table.items()]
    return "\n".join(lines)
