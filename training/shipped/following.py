"""The last stages: one encoder learns to answer like the committee, from what its trunk computes.

blend     weights of three trunks averaged: the trunk that is shipped, and its features
answers   what the committee says of every photo and sentence
image     the head learns to say it: a ridge regression first, then by descent
text      so does the text tower
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from training.closed_form import Float64Array, moments, ridge
from training.loop import Loop, write_line, write_whole
from training.losses import feature_matching, similarity_distillation
from training.shipped.committee import Committee, Learned, Said, inner
from training.shipped.corpus import offsets, said_of_photos
from training.shipped.features import served, write_features
from training.shipped.paraphrases import Paraphrases
from training.shipped.words import say
from training.shipped.workshop import Workshop, load_tensors

Module = TypeVar("Module", bound=nn.Module)

# Of every phrase that names something, sentences drawn from templates; and pairs of phrases joined by "and".
SAYINGS, PAIRS = 6, 6000

# Sentences of which the committee is asked at once.
ASKED = 20_000

# The committee's features, in the order of its members, and the stages that write them.
FEATURES = {"features": "meet", "features_together": "blend", "features_blend": "blend", "teacher": "teacher"}

# What a batch of sentences is made of.
MIXTURE = {"captions": 0.25, "alone": 0.52, "phrases": 0.23}


def blend(shop: Workshop) -> None:
    """Writes the averaged trunk as `blend.pt`, and the features of it and of the second encoder's trunk."""
    second = load_tensors(shop.out / "together.pt", "together")["modules"]["trunk"]
    trunks = {
        "photos": load_tensors(shop.out / "photos.pt", "photos")["modules"]["trunk"],
        "together": second,
        "start": shop.start.weights,
    }
    weights = {
        key: torch.stack([share * trunks[name][key].float() for name, share in shop.config.blend.items()]).sum(dim=0)
        for key in shop.start.weights
    }
    write_whole({"modules": {"trunk": weights}}, shop.out / "blend.pt")
    plain = partial(served, size=shop.config.size)
    write_features(shop, weights, shop.out / "features_blend.pt", [plain])
    write_features(shop, second, shop.out / "features_together.pt", [plain])


def answers(shop: Workshop) -> None:
    """Writes `answers.pt`: the committee's answers to all photos, to what is said of them, and to other sentences."""
    learned = [_learned(shop, "meet"), _learned(shop, "together")]
    stored = [load_tensors(shop.out / f"{name}.pt", stage) for name, stage in FEATURES.items()]
    count = offsets(shop.parts)[-1]  # later rows are further views
    photos = [one["features"][:count] for one in stored]
    said = _said(shop)
    committee = Committee(learned, photos, shop.texts, said, shop.config.committee, shop.config.text.dimension)

    def asked(sentences: Sequence[str]) -> Tensor:
        starts = range(0, len(sentences), ASKED)
        return torch.cat([torch.from_numpy(committee.sentences(sentences[at : at + ASKED])) for at in starts])

    validation = torch.from_numpy(committee.photos([one["validation"] for one in stored]))
    write_line(shop.out / "log.jsonl", "answers", 0, shop.validation.measure(validation, asked))
    kinds = {
        "captions": said.of_people,
        "alone": list(_without_photos(shop)),
        "phrases": _phrases(shop, said),
    }
    everything = {
        "photos": torch.from_numpy(committee.photos(photos)),
        "sentences": {name: (kind, asked(kind)) for name, kind in kinds.items()},
        "validation": asked(shop.validation.captions),
    }
    write_whole(everything, shop.out / "answers.pt")


def _learned(shop: Workshop, stage: str) -> Learned:
    modules = load_tensors(shop.out / f"{stage}.pt", stage)["modules"]
    return Learned(_filled(shop.new_text(), modules["text"]), _filled(shop.new_head(), modules["head"]))


def _filled(module: Module, weights: dict[str, Tensor]) -> Module:
    module.load_state_dict(weights)
    return module


def _said(shop: Workshop) -> Said:
    sentences, owners = said_of_photos(shop.parts)
    captioned = np.array([bool(example.captions) for part in shop.parts for example in part.examples])
    return Said(sentences, np.asarray(owners), captioned[owners])


def _without_photos(shop: Workshop) -> Iterator[str]:
    paraphrases = Paraphrases.read(shop.config.paraphrases, shop.data, (), seed=shop.config.seed)
    for group in paraphrases.groups:
        yield from group
    yield from paraphrases.alone


def _phrases(shop: Workshop, said: Said) -> list[str]:
    """Names of things: bare, in templates, and two of them together."""
    draw = random.Random(shop.config.seed)
    words = {phrase for vocabulary in shop.vocabularies for phrases in vocabulary.phrases for phrase in phrases}
    phrases = sorted(words | set(said.of_labels))
    in_templates = [say(phrase, draw) for phrase in phrases for _ in range(SAYINGS)]
    return phrases + in_templates + [" and ".join(draw.choices(phrases, k=2)) for _ in range(PAIRS)]


def image(shop: Workshop) -> None:
    """The head that gives the committee's answers from the blended trunk's features, as `image.pt`."""
    stored, said = (
        load_tensors(shop.out / "features_blend.pt", "blend"),
        load_tensors(shop.out / "answers.pt", "answers"),
    )
    features, right = stored["features"].float(), said["photos"]
    head = _filled(shop.new_head(), load_tensors(shop.out / "meet.pt", "meet")["modules"]["head"])
    with torch.no_grad():
        plain = head.norm(features)
        bent = functional.gelu(head.into(plain))
    how = shop.config.following["image"]
    (direct, out), offset = _ridge([plain, bent], right, how.regularisation)
    _put(head.direct, direct, offset)
    _put(head.out, out)

    def drawn(draw: np.random.Generator) -> tuple[Tensor, Tensor]:
        rows = torch.from_numpy(draw.integers(len(right), size=how.plan.batch))
        return functional.normalize(head(features[rows]), dim=-1), right[rows]

    @torch.no_grad()
    def check() -> dict[str, float]:
        rows = functional.normalize(head(stored["validation"].float()), dim=-1)
        return shop.validation.measure(rows, lambda _: said["validation"])

    _follow(shop, "image", {"head": head}, drawn, torch.cat([rows for _, rows in said["sentences"].values()]), check)


def text(shop: Workshop) -> None:
    """The text tower that gives the committee's answers, as `text.pt`."""
    how, said = shop.config.following["text"], load_tensors(shop.out / "answers.pt", "answers")
    model = _filled(shop.new_text(), load_tensors(shop.out / "meet.pt", "meet")["modules"]["text"])
    captions, right = said["sentences"]["captions"]
    hidden, tokens = (torch.from_numpy(part) for part in inner(model, shop.texts, captions))
    (leave, direct), offset = _ridge([hidden, tokens], right, how.regularisation)
    _put(model.leave, leave, offset)
    _put(model.direct, direct)
    head = _filled(shop.new_head(), load_tensors(shop.out / "image.pt", "image")["modules"]["head"])
    with torch.no_grad():
        features = load_tensors(shop.out / "features_blend.pt", "blend")["validation"].float()
        photos = functional.normalize(head(features), dim=-1)

    def drawn(draw: np.random.Generator) -> tuple[Tensor, Tensor]:
        asked, wanted = [], []
        for kind, share in MIXTURE.items():
            sentences, rows = said["sentences"][kind]
            chosen = draw.integers(len(sentences), size=round(share * how.plan.batch))
            asked += [sentences[row] for row in chosen]
            wanted.append(rows[torch.from_numpy(chosen)])
        return shop.texts.embed(model, asked), torch.cat(wanted)

    @torch.no_grad()
    def check() -> dict[str, float]:
        return shop.validation.measure(photos, partial(shop.texts.embed, model))

    _follow(shop, "text", {"text": model}, drawn, said["photos"], check)


def _ridge(parts: Sequence[Tensor], right: Tensor, regularisation: float) -> tuple[list[Float64Array], Float64Array]:
    """Maps `[in, dim]` of the parts `[n, in]` whose sum, with an offset `[dim]`, is nearest to `right` `[n, dim]`."""
    rows = [part.double().numpy() for part in parts]
    # The parts differ in size by their making only; the ridge must not prefer one for it.
    sizes = [part.std() for part in rows]
    found = moments(np.hstack([part / size for part, size in zip(rows, sizes, strict=True)]), right.double().numpy())
    weight = ridge(found, regularisation=regularisation)[0].weight
    ends = np.cumsum([part.shape[1] for part in rows])[:-1]
    maps = [part / size for part, size in zip(np.split(weight, ends), sizes, strict=True)]
    return maps, found.mean_y - found.mean_x @ weight


def _put(layer: nn.Linear, weight: Float64Array, offset: Float64Array | None = None) -> None:
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(weight.T))
        if offset is not None:
            layer.bias.copy_(torch.from_numpy(offset))


def _follow(
    shop: Workshop,
    name: str,
    modules: dict[str, nn.Module],
    drawn: Callable[[np.random.Generator], tuple[Tensor, Tensor]],
    others: Tensor,
    check: Callable[[], dict[str, float]],
) -> None:
    """Trains modules to answer right. `drawn` gives their unit rows and the right ones of a batch `[n, dim]`."""
    how, draw = shop.config.following[name], np.random.default_rng(shop.config.seed)

    def losses(_: int) -> dict[str, Tensor]:
        rows, right = drawn(draw)
        few = others[torch.from_numpy(draw.integers(len(others), size=how.others))]
        among = similarity_distillation(how.scale * rows @ few.T, how.scale * right @ few.T, temperature=1.0)
        return {"match": how.match * feature_matching(rows, right), "among": among}

    def restore(state: Any) -> None:
        draw.bit_generator.state = state

    Loop(modules, how.plan, shop.out, name=name).run(
        losses, check=check, state=lambda: draw.bit_generator.state, restore=restore
    )
