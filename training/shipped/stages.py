"""The stages of training an encoder of the shipped form, each leaving files that the next one takes up.

teacher   features of every photo by the untouched trunk, and what its classifier says
begin     text tower and image head learn from those features
photos    trunk and head learn from photos, the sentences' vectors standing still
meet      text tower and head learn once more, from the new trunk's features
together  trunk, head and text tower learn on: a second encoder
blend, answers, image, text   one encoder learns what both and two correlations answer, see `following`
export    the folder that `indexer.encoders.embedded` reads
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from indexer.encoders.embedded_image import Head, ImageModel
from indexer.encoders.embedded_trunk import Trunk
from training.ahead import Ahead
from training.curve import draw_curve
from training.depthwise import use_matrix_depthwise
from training.export import pack, write_encoder
from training.loop import Loop
from training.pairs import remembered
from training.shipped.batches import Batch, Sampler
from training.shipped.config import Stage
from training.shipped.features import pooled, served, write_features
from training.shipped.following import answers, blend, image, text
from training.shipped.memory import Memory
from training.shipped.objective import Embed, Objective
from training.shipped.paraphrases import Paraphrases
from training.shipped.pixels import augmented, batches_with_photos
from training.shipped.workshop import Workshop, load_tensors
from training.text_model import TextModel

# bfloat16 arithmetic with float32 weights: as fast as bfloat16 weights (28 and 27 photos/s at 224 px) and more exact.
autocast = partial(torch.autocast, "cuda" if torch.cuda.is_available() else "cpu", torch.bfloat16)


def teacher(shop: Workshop) -> None:
    """Writes `teacher.pt`: the untouched trunk's features of every photo and of the validation photos."""
    write_features(shop, shop.start.weights, shop.out / "teacher.pt", [partial(served, size=shop.config.size)])


def begin(shop: Workshop) -> None:
    """Text tower and head from the untouched trunk's features."""
    _on_features(shop, "begin", shop.out / "teacher.pt", {})


def meet(shop: Workshop) -> None:
    """Text tower and head from the trained trunk's features, plain and of augmented views."""
    stage, config = shop.config.stages["meet"], shop.config
    trained = load_tensors(shop.out / "photos.pt", "photos")["modules"]
    text = load_tensors(shop.out / "begin.pt", "begin")["modules"]["text"]
    path = shop.out / "features.pt"
    draw = np.random.default_rng(config.seed)
    crops = [partial(augmented, shop, size=config.size, draw=draw)] * (stage.views - 1)
    write_features(shop, trained["trunk"], path, [partial(served, size=config.size), *crops])
    _on_features(shop, "meet", path, {"text": text, "head": trained["head"]})


def _on_features(shop: Workshop, name: str, path: Path, before: Mapping[str, dict[str, Tensor]]) -> None:
    """Trains text tower and head on stored features, the trunk being out of the game, from the weights `before`."""
    stage = shop.config.stages[name]
    stored = load_tensors(path, "teacher")
    text, head, objective = _loaded(shop, stage, before)
    features = stored["features"].view(-1, sum(len(part.examples) for part in shop.parts), head.norm.weight.shape[0])
    sampler = shop.sampler(stage)
    words = Words(shop, stage, text, sampler.draw)

    def losses(_: int) -> dict[str, Tensor]:
        batch = sampler.batch(stage.plan.batch)
        view = torch.from_numpy(sampler.numbers.integers(len(features), size=len(batch.rows)))
        with autocast():
            photos = functional.normalize(head(features[view, batch.rows].float()).float(), dim=-1)
            return words.losses(objective, batch, photos)

    @torch.no_grad()
    def check() -> dict[str, float]:
        photos = functional.normalize(head(stored["validation"].float()), dim=-1)
        return shop.validation.measure(photos, words.embed)

    modules = {"text": text, "head": head, "objective": objective}
    _run(shop, name, modules, sampler, losses, check, words)


def photos(shop: Workshop) -> None:
    """Trunk and head from photos; the sentences' vectors stand still and are computed once each."""
    stage = shop.config.stages["photos"]
    before = load_tensors(shop.out / "begin.pt", "begin")["modules"]
    text, head, objective = _loaded(shop, stage, before)
    trunk = _free_trunk(shop.start.weights, shop, stage)
    known = remembered(partial(shop.texts.embed, text))
    ahead = batches_with_photos(shop, stage, shop.sampler(stage))

    def losses(step: int) -> dict[str, Tensor]:
        batch, pixels = ahead(step)
        with autocast():
            rows = functional.normalize(head(trunk(pixels).float()).float(), dim=-1)
        return objective.photos(batch, rows, known)

    @torch.no_grad()
    def check() -> dict[str, float]:
        plain = partial(served, size=shop.config.size)
        features = pooled(trunk.state_dict(), shop.start.shape, shop.validation.photos, plain)
        return shop.validation.measure(functional.normalize(head(features.float()), dim=-1), known)

    _run(shop, "photos", {"trunk": trunk, "head": head, "objective": objective}, ahead, losses, check)


def together(shop: Workshop) -> None:
    """Trunk, head and text tower at once, from photos and sentences."""
    stage = shop.config.stages["together"]
    before = load_tensors(shop.out / "meet.pt", "meet")["modules"]
    text, head, objective = _loaded(shop, stage, before)
    trunk = _free_trunk(load_tensors(shop.out / "photos.pt", "photos")["modules"]["trunk"], shop, stage)
    captioned = torch.tensor([bool(example.captions) for part in shop.parts for example in part.examples])
    memory = Memory(captioned, stage.memory, shop.config.text.dimension)
    words = Words(shop, stage, text, random.Random(shop.config.seed))
    ahead = batches_with_photos(shop, stage, shop.sampler(stage))

    def losses(step: int) -> dict[str, Tensor]:
        batch, pixels = ahead(step)
        with autocast():
            rows = functional.normalize(head(trunk(pixels).float()).float(), dim=-1)
            return words.losses(objective, batch, rows, memory)

    @torch.no_grad()
    def check() -> dict[str, float]:
        plain = partial(served, size=shop.config.size)
        features = pooled(trunk.state_dict(), shop.start.shape, shop.validation.photos, plain)
        return shop.validation.measure(functional.normalize(head(features.float()), dim=-1), words.embed)

    modules = {"trunk": trunk, "head": head, "text": text, "objective": objective}
    _run(shop, "together", modules, ahead, losses, check, words)


def _free_trunk(weights: dict[str, Tensor], shop: Workshop, stage: Stage) -> Trunk:
    """A trunk with these weights, which learns from the stage's first free block on."""
    trunk = Trunk(shop.start.shape)
    trunk.load_state_dict(weights)
    trunk.to(memory_format=torch.channels_last)
    trunk.blocks[: stage.frozen_blocks].requires_grad_(False)
    if not torch.cuda.is_available():
        use_matrix_depthwise(trunk)
    return trunk


def _loaded(shop: Workshop, stage: Stage, before: Mapping[str, dict[str, Tensor]]) -> tuple[TextModel, Head, Objective]:
    """Text tower, head and objective with the weights that an earlier stage left, where it did."""
    text, head, objective = shop.new_text(), shop.new_head(), Objective(stage.weights)
    for part, module in {"text": text, "head": head, "objective": objective}.items():
        if part in before:
            module.load_state_dict(before[part])
    return text, head, objective


class Words:
    """The sentences of a stage in which the text tower learns: captions, words and paraphrases in few passes."""

    def __init__(self, shop: Workshop, stage: Stage, text: TextModel, draw: random.Random) -> None:
        self._stage = stage
        self.embed: Embed = partial(shop.texts.embed, text)
        self._draw = draw
        self._learn: Embed = partial(shop.texts.embed, text, drop=stage.word_drop, draw=draw)
        self._paraphrases = Paraphrases.read(shop.config.paraphrases, shop.data, shop.parts, seed=shop.config.seed)

    def losses(
        self, objective: Objective, batch: Batch, photos: Tensor, memory: Memory | None = None
    ) -> dict[str, Tensor]:
        """All losses of a batch whose photos have the unit rows `photos` `[n, dim]`."""
        words = [sentence for choice in batch.choices for sentence in choice.sentences]
        vectors = self._learn([*batch.sentences, *words])
        known = iter((vectors[: len(batch.sentences)], vectors[len(batch.sentences) :]))
        parts = objective.photos(batch, photos, lambda _: next(known), memory)
        if self._stage.paraphrases:
            first, second = self._paraphrases.pairs(self._stage.paraphrases)
            both = self._learn([*first, *second])
            parts |= objective.paraphrases(both[: len(first)], both[len(first) :])
        return parts

    def state(self) -> Any:
        """The states of what is random, for a checkpoint."""
        return self._draw.getstate(), self._paraphrases.draw.getstate()

    def restore(self, state: Any) -> None:
        """Goes on where `state` was taken."""
        self._draw.setstate(state[0])
        self._paraphrases.draw.setstate(state[1])


def _run(
    shop: Workshop,
    name: str,
    modules: dict[str, nn.Module],
    sampler: Sampler | Ahead[Any],
    losses: Callable[[int], dict[str, Tensor]],
    check: Callable[[], dict[str, float]],
    words: Words | None = None,
) -> None:
    def state() -> Any:
        return sampler.state(), words.state() if words else None

    def restore(saved: Any) -> None:
        sampler.restore(saved[0])
        if words:
            words.restore(saved[1])

    Loop(modules, shop.config.stages[name].plan, shop.out, name=name).run(
        losses, check=check, state=state, restore=restore
    )


def export(shop: Workshop) -> str:
    """Writes the folder `encoder`: the blended trunk and the towers that follow the committee. Gives its checksum."""
    learnt: dict[str, dict[str, Tensor]] = {}
    for stage in ("blend", "image", "text"):
        learnt |= load_tensors(shop.out / f"{stage}.pt", stage)["modules"]
    model = ImageModel(shop.start.shape, hidden=shop.config.hidden, dimension=shop.config.text.dimension)
    model.trunk.load_state_dict(learnt["trunk"])
    model.head.load_state_dict(learnt["head"])
    checksum = write_encoder(
        shop.out / "encoder",
        pack(model.state_dict(), learnt["text"]),
        blocks=shop.start.shape,
        hidden=shop.config.hidden,
        size=shop.config.size,
        text=shop.config.text,
        tokenizer=shop.tokenizer,
    )
    shutil.copyfile(shop.out / "log.jsonl", shop.out / "encoder" / "training_log.jsonl")
    draw_curve(shop.out / "log.jsonl", shop.out / "encoder" / "curve.png")
    return checksum


STAGES: dict[str, Callable[[Workshop], object]] = {
    "teacher": teacher,
    "begin": begin,
    "photos": photos,
    "meet": meet,
    "together": together,
    "blend": blend,
    "answers": answers,
    "image": image,
    "text": text,
    "export": export,
}
