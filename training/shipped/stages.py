"""The stages of training an encoder of the shipped form, each leaving files that the next one takes up.

teacher   features of every photo by the untouched trunk, and what its classifier says
begin     text tower and image head learn from those features
photos    trunk and head learn from photos, the sentences' vectors standing still
meet      text tower and head learn once more, from the new trunk's features
together  everything learns at once, from photos and sentences
export    the folder that `indexer.encoders.embedded` reads
"""

from __future__ import annotations

import random
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

from indexer.encoders.embedded_image import Head, ImageModel, Trunk
from training.ahead import Ahead
from training.augment import crop, relight
from training.curve import draw_curve
from training.depthwise import use_matrix_depthwise
from training.export import pack, write_encoder
from training.loop import Loop
from training.shipped.batches import Batch, Sampler
from training.shipped.corpus import Part, offsets
from training.shipped.features import pooled, served
from training.shipped.memory import Memory
from training.shipped.objective import Embed, Objective
from training.shipped.paraphrases import Paraphrases
from training.shipped.workshop import Workshop, load_tensors
from training.text_model import TextModel

# bfloat16 arithmetic with float32 weights: as fast as bfloat16 weights (28 and 27 photos/s at 224 px) and more exact.
autocast = partial(torch.autocast, "cuda" if torch.cuda.is_available() else "cpu", torch.bfloat16)


def teacher(shop: Workshop) -> None:
    """Writes `teacher.pt`: the untouched trunk's features of every photo and of the validation photos."""
    write_features(shop, shop.start.weights, shop.out / "teacher.pt", [partial(served, size=shop.config.size)])


View = Callable[[npt.NDArray[np.uint8]], Tensor]


def write_features(shop: Workshop, weights: dict[str, Tensor], path: Path, views: Sequence[View]) -> None:
    """Writes features `[views * photos, width]`, all photos in the first view, then all in the second ...

    A file that is there is left as it is: a run that was cut off goes on.
    """
    if path.is_file():
        return
    rows = [pooled(weights, shop.start.shape, part.photos, view) for view in views for part in shop.parts]
    plain = partial(served, size=shop.config.size)
    validation = pooled(weights, shop.start.shape, shop.validation.photos, plain)
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"features": torch.cat(rows), "validation": validation}, path)


def begin(shop: Workshop) -> None:
    """Text tower and head from the untouched trunk's features."""
    _on_features(shop, "begin", shop.out / "teacher.pt", shop.new_text(), shop.new_head())


def meet(shop: Workshop) -> None:
    """Text tower and head from the trained trunk's features, of several crops of each photo."""
    stage, config = shop.config.stages["meet"], shop.config
    done = load_tensors(shop.out / "photos.pt", "photos")["modules"]
    path = shop.out / "features.pt"
    draw = np.random.default_rng(config.seed)
    crops = [partial(augmented, shop, size=config.size, draw=draw)] * (stage.views - 1)
    write_features(shop, done["trunk"], path, [partial(served, size=config.size), *crops])
    text, head = shop.new_text(), shop.new_head()
    text.load_state_dict(load_tensors(shop.out / "begin.pt", "begin")["modules"]["text"])
    head.load_state_dict(done["head"])
    _on_features(shop, "meet", path, text, head)


def augmented(shop: Workshop, photos: npt.NDArray[np.uint8], *, size: int, draw: np.random.Generator) -> Tensor:
    """Photos `[n, 3, side, side]`, each cropped and lit anew: `[n, 3, size, size]` uint8."""
    how = shop.config.augmentation
    return relight(torch.stack([crop(photo, size, how, draw) for photo in photos]), how, draw)


def _on_features(shop: Workshop, name: str, path: Path, text: TextModel, head: Head) -> None:
    """Trains a text tower and a head on stored features, the trunk being out of the game."""
    stage = shop.config.stages[name]
    stored = load_tensors(path, "teacher")
    features = stored["features"].view(-1, sum(len(part.examples) for part in shop.parts), head.norm.weight.shape[0])
    objective, sampler = Objective(stage.weights), shop.sampler(stage)
    sentences = Paraphrases.read(shop.config.paraphrases, shop.data, shop.parts, seed=shop.config.seed)
    embed: Embed = partial(shop.texts.embed, text, drop=stage.word_drop, draw=sampler.draw)

    def losses(_: int) -> dict[str, Tensor]:
        batch = sampler.batch(stage.plan.batch)
        view = torch.from_numpy(sampler.numbers.integers(len(features), size=len(batch.rows)))
        with autocast():
            photos = functional.normalize(head(features[view, batch.rows].float()).float(), dim=-1)
            parts = _with_one_text_pass(objective, batch, photos, embed)
            if stage.paraphrases:
                first, second = sentences.pairs(stage.paraphrases)
                both = embed([*first, *second])
                parts |= objective.paraphrases(both[: len(first)], both[len(first) :])
        return parts

    @torch.no_grad()
    def check() -> dict[str, float]:
        photos = functional.normalize(head(stored["validation"].float()), dim=-1)
        return shop.validation.measure(photos, partial(shop.texts.embed, text))

    _run(shop, name, {"text": text, "head": head, "objective": objective}, sampler, losses, check, sentences)


def _with_one_text_pass(
    objective: Objective, batch: Batch, photos: Tensor, embed: Embed, memory: Memory | None = None
) -> dict[str, Tensor]:
    """The losses of a batch, captions and words going through the text tower together."""
    words = [sentence for choice in batch.choices for sentence in choice.sentences]
    vectors = embed([*batch.sentences, *words])
    known = iter((vectors[: len(batch.sentences)], vectors[len(batch.sentences) :]))
    return objective.photos(batch, photos, lambda _: next(known), memory)


def photos(shop: Workshop) -> None:
    """Trunk and head from photos; the sentences' vectors stand still and are computed once each."""
    stage = shop.config.stages["photos"]
    before = load_tensors(shop.out / "begin.pt", "begin")["modules"]
    text, head = shop.new_text(), shop.new_head()
    text.load_state_dict(before["text"])
    head.load_state_dict(before["head"])
    trunk = Trunk(shop.start.shape)
    trunk.load_state_dict(shop.start.weights)
    trunk.to(memory_format=torch.channels_last)
    trunk.blocks[: stage.frozen_blocks].requires_grad_(False)
    objective, sampler = Objective(stage.weights), shop.sampler(stage)
    objective.load_state_dict(before["objective"])
    if not torch.cuda.is_available():
        use_matrix_depthwise(trunk)
    known = KnownSentences(partial(shop.texts.embed, text))

    def made(step: int) -> tuple[Batch, Tensor]:
        batch = sampler.batch(stage.plan.batch)
        size = stage.sizes[min(step, stage.plan.steps - 1) * len(stage.sizes) // stage.plan.steps]
        return batch, photos_of(shop.parts, batch.rows, size, shop, sampler.numbers)

    ahead = Ahead(sampler, made)

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
    text, head, trunk = shop.new_text(), shop.new_head(), Trunk(shop.start.shape)
    text.load_state_dict(before["text"])
    head.load_state_dict(before["head"])
    trunk.load_state_dict(load_tensors(shop.out / "photos.pt", "photos")["modules"]["trunk"])
    trunk.to(memory_format=torch.channels_last)
    trunk.blocks[: stage.frozen_blocks].requires_grad_(False)
    objective, sampler = Objective(stage.weights), shop.sampler(stage)
    objective.load_state_dict(before["objective"])
    if not torch.cuda.is_available():
        use_matrix_depthwise(trunk)
    sentences = Paraphrases.read(shop.config.paraphrases, shop.data, shop.parts, seed=shop.config.seed)
    captioned = torch.tensor([bool(example.captions) for part in shop.parts for example in part.examples])
    memory = Memory(captioned, stage.memory, shop.config.text.dimension)
    embed: Embed = partial(shop.texts.embed, text, drop=stage.word_drop, draw=random.Random(shop.config.seed))

    def made(step: int) -> tuple[Batch, Tensor]:
        batch = sampler.batch(stage.plan.batch)
        size = stage.sizes[min(step, stage.plan.steps - 1) * len(stage.sizes) // stage.plan.steps]
        return batch, photos_of(shop.parts, batch.rows, size, shop, sampler.numbers)

    ahead = Ahead(sampler, made)

    def losses(step: int) -> dict[str, Tensor]:
        batch, pixels = ahead(step)
        with autocast():
            rows = functional.normalize(head(trunk(pixels).float()).float(), dim=-1)
            parts = _with_one_text_pass(objective, batch, rows, embed, memory)
            if stage.paraphrases:
                first, second = sentences.pairs(stage.paraphrases)
                both = embed([*first, *second])
                parts |= objective.paraphrases(both[: len(first)], both[len(first) :])
        return parts

    @torch.no_grad()
    def check() -> dict[str, float]:
        plain = partial(served, size=shop.config.size)
        features = pooled(trunk.state_dict(), shop.start.shape, shop.validation.photos, plain)
        photos = functional.normalize(head(features.float()), dim=-1)
        return shop.validation.measure(photos, partial(shop.texts.embed, text))

    modules = {"trunk": trunk, "head": head, "text": text, "objective": objective}
    _run(shop, "together", modules, ahead, losses, check, sentences)


def photos_of(parts: Sequence[Part], rows: Tensor, size: int, shop: Workshop, draw: np.random.Generator) -> Tensor:
    """The photos of a batch, each cropped and lit anew: `[n, 3, size, size]` uint8."""
    starts = offsets(parts)
    owners = np.searchsorted(starts, rows.numpy(), side="right") - 1
    how = shop.config.augmentation
    cropped = [
        crop(parts[owner].photos[row - starts[owner]], size, how, draw)
        for owner, row in zip(owners, rows.numpy(), strict=True)
    ]
    return relight(torch.stack(cropped), how, draw)


class KnownSentences:
    """Vectors of sentences by a text tower that stands still: each computed once."""

    def __init__(self, embed: Embed) -> None:
        self._embed = embed
        self._known: dict[str, Tensor] = {}

    def __call__(self, sentences: Sequence[str]) -> Tensor:
        """Unit rows `[n, dimension]`, not to be differentiated."""
        new = [sentence for sentence in dict.fromkeys(sentences) if sentence not in self._known]
        if new:
            with torch.no_grad():
                self._known.update(zip(new, self._embed(new), strict=True))
        return torch.stack([self._known[sentence] for sentence in sentences])


def _run(
    shop: Workshop,
    name: str,
    modules: dict[str, nn.Module],
    sampler: Sampler | Ahead[Any],
    losses: Callable[[int], dict[str, Tensor]],
    check: Callable[[], dict[str, float]],
    sentences: Paraphrases | None = None,
) -> None:
    def state() -> Any:
        return sampler.state(), sentences.draw.getstate() if sentences else None

    def restore(saved: Any) -> None:
        sampler.restore(saved[0])
        if sentences:
            sentences.draw.setstate(saved[1])

    Loop(modules, shop.config.stages[name].plan, shop.out, name=name).run(
        losses, check=check, state=state, restore=restore
    )


def export(shop: Workshop) -> str:
    """Writes the encoder's folder, `encoder`, from the last stages that have run; gives its checksum."""
    last = next(
        (name for name in ("together", "meet", "photos", "begin") if (shop.out / f"{name}.pt").is_file()), "begin"
    )
    modules = load_tensors(shop.out / f"{last}.pt", "begin")["modules"]
    trunk = shop.start.weights
    if "trunk" in modules:
        trunk = modules["trunk"]
    elif (shop.out / "photos.pt").is_file():
        trunk = load_tensors(shop.out / "photos.pt", "photos")["modules"]["trunk"]
    text = modules.get("text") or load_tensors(shop.out / "begin.pt", "begin")["modules"]["text"]
    model = ImageModel(shop.start.shape, hidden=shop.config.hidden, dimension=shop.config.text.dimension)
    model.trunk.load_state_dict(trunk)
    model.head.load_state_dict(modules["head"])
    checksum = write_encoder(
        shop.out / "encoder",
        pack(model.state_dict(), text),
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
    "export": export,
}
