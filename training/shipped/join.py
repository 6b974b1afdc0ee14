"""The last stage: what the learned heads and canonical correlations say together, and heads that are taught to say it.

Gradient descent on a few thousand photos leaves much of what both towers know unused; regularised correlations use
all of it, and err elsewhere. The unit vectors of both are laid end to end, so that a cosine is the mean of theirs,
rotated to the encoder's dimension, and hubs are held down. The heads learn that from stored features, in minutes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from indexer.encoders.embedded_image import Head
from indexer.items import Int64Array, evenly_spaced
from training.align import Float64Array, cca, moments, ridge
from training.data import Sampler
from training.loop import Loop, write_log
from training.losses import feature_matching, similarity_distillation, word_choice
from training.shipped.corpus import Vocabulary
from training.shipped.recipe import Join
from training.shipped.run import Run

# Sentences among which a photo may be a hub, and photos among which a sentence may.
SAMPLE = 10_000

# Photos that are compared with all of them at once.
PORTION = 2048


@dataclass(frozen=True)
class Answer:
    """What is said of photos, by their features `[n, width]`, and of sentences, by their vectors: unit rows."""

    photos: Callable[[Tensor], Tensor]
    sentences: Callable[[Tensor], Tensor]


def join(run: Run) -> None:
    """The heads that give the joint answer, as `join.pt`."""
    how, learnt = run.recipe.join, run.stored("finetune.pt", "finetune")["modules"]
    run.once("features.pt", lambda: run.features(learnt["trunk"]))
    stored = run.stored("features.pt", "join").float()
    image, text = run.new_heads()
    image.load_state_dict(learnt["image"])
    text.load_state_dict(learnt["text"])
    answer = joined(run, stored, Answer(_unit(image), _unit(text)), how)
    write_log(run.out / "log.jsonl", "answer", 0, _measured(run, stored, answer))
    photos, sentences = stored[run.learned_rows], run.sentences[run.corpus.may_be_read()]
    wanted = {"photos": answer.photos(photos), "sentences": answer.sentences(sentences)}
    sides = (("photos", image, photos, "sentences"), ("sentences", text, sentences, "photos"))
    for name, head, inputs, _ in sides:
        _by_ridge(head, inputs, wanted[name])
    sampler = Sampler(run.recipe.seed)
    draw = sampler.draw
    choices = [(one, np.intersect1d(one.described, run.learned_rows)) for one in (*run.labels, *run.names)]

    def losses(_: int) -> dict[str, Tensor]:
        parts = {}
        for name, head, inputs, other in sides:
            few = torch.from_numpy(draw.integers(len(inputs), size=how.plan.batch))
            rows, right = functional.normalize(head(inputs[few]), dim=-1), wanted[name][few]
            others = wanted[other][torch.from_numpy(draw.integers(len(wanted[other]), size=how.others))]
            among = similarity_distillation(how.scale * rows @ others.T, how.scale * right @ others.T, temperature=1.0)
            parts[name] = how.match * feature_matching(rows, right) + among
        return {**parts, "names": how.names * torch.stack([choice(*one) for one in choices]).mean()}

    def choice(vocabulary: Vocabulary, described: Int64Array) -> Tensor:
        """The choice among a vocabulary's words, of some of the photos that it says something of."""
        rows = draw.choice(described, min(how.plan.batch // 8, len(described)), replace=False)
        seen = functional.normalize(image(stored[rows]), dim=-1)
        words = functional.normalize(text(run.sentences[vocabulary.drawn(draw)]), dim=-1)
        return word_choice(how.scale * seen @ words.T, vocabulary.targets[rows].float())

    def check() -> dict[str, float]:
        return _measured(run, stored, Answer(_unit(image), _unit(text)))

    Loop({"image": image, "text": text}, how.plan, run.out, name="join").run(losses, check=check, sampler=sampler)


def joined(run: Run, stored: Tensor, learned: Answer, how: Join) -> Answer:
    """The answer that the heads are taught, fitted on the photos that may be learned from."""
    numbers, owners = run.corpus.pairs.T
    weights = np.where(run.corpus.is_caption, 1.0, how.labels)
    fitted = cca(
        moments(_normalised(stored)[owners], _normalised(run.sentences)[numbers], weights=weights),
        dimension=run.recipe.heads.dimension,
        regularisation=how.regularisation,
    ).weighed(how.power)
    correlated = Answer(
        lambda rows: functional.normalize(torch.from_numpy(fitted.x(_normalised(rows))).float(), dim=-1),
        lambda rows: functional.normalize(torch.from_numpy(fitted.y(_normalised(rows))).float(), dim=-1),
    )
    both = _end_to_end(learned, correlated, how.learned)
    photos = both.photos(stored[run.learned_rows])
    captions = both.sentences(run.sentences[numbers[run.corpus.is_caption]])
    rotated = _rotated(both, photos, captions, run.recipe.heads.dimension - 2, how.flatten)
    readable = run.sentences[run.corpus.may_be_read()]
    return _csls(rotated, rotated.photos(stored[np.unique(owners)]), rotated.sentences(readable), how)


def _unit(head: nn.Module) -> Callable[[Tensor], Tensor]:
    @torch.no_grad()
    def rows(inputs: Tensor) -> Tensor:
        return functional.normalize(head(inputs), dim=-1)

    return rows


def _normalised(rows: Tensor) -> Float64Array:
    normal: Float64Array = functional.layer_norm(rows, rows.shape[1:]).double().numpy()
    return normal


def _end_to_end(first: Answer, second: Answer, share: float) -> Answer:
    """A cosine of joint rows is `share` of the first's and the rest of the second's."""
    weights = share**0.5, (1 - share) ** 0.5

    def beside(one: Callable[[Tensor], Tensor], other: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
        return lambda rows: torch.cat([weights[0] * one(rows), weights[1] * other(rows)], dim=1)

    return Answer(beside(first.photos, second.photos), beside(first.sentences, second.sentences))


def _rotated(answer: Answer, photos: Tensor, sentences: Tensor, dimension: int, flatten: float) -> Answer:
    """Along the directions on which the rows of both kinds are longest, each divided by a power of its variance."""
    second = sum(rows.double().T @ rows.double() / len(rows) for rows in (photos, sentences))
    directions, variances, _ = torch.linalg.svd(torch.as_tensor(second))
    turn = (directions[:, :dimension] * variances[:dimension] ** (-flatten / 2)).float()

    def rotated(say: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
        return lambda rows: functional.normalize(say(rows) @ turn, dim=-1)

    return Answer(rotated(answer.photos), rotated(answer.sentences))


def _csls(answer: Answer, photos: Tensor, sentences: Tensor, how: Join) -> Answer:
    """Cross-domain similarity local scaling (Lample et al., 2018) as two further dimensions.

    A cosine is lowered by `against` times what both its sides exceed in their mean cosine with their nearest of the
    other kind: hubs, near to everything, crowd out right answers. Each side holds its own excess in one of the two
    dimensions and the root of `room` in the other.
    """
    near = [rows[torch.from_numpy(evenly_spaced(len(rows), SAMPLE))] for rows in (photos, sentences)]
    typical = [_nearness(near[kind], near[1 - kind], how.neighbours).mean() for kind in (0, 1)]
    constant = how.room**0.5

    def held(say: Callable[[Tensor], Tensor], kind: int) -> Callable[[Tensor], Tensor]:
        def rows_of(inputs: Tensor) -> Tensor:
            rows = say(inputs)
            excess = _nearness(rows, near[1 - kind], how.neighbours) - typical[kind]
            further = [-how.against / constant * excess[:, None], torch.full((len(rows), 1), constant)]
            return functional.normalize(torch.cat([rows, *(further if kind == 0 else further[::-1])], dim=1), dim=-1)

        return rows_of

    return Answer(held(answer.photos, 0), held(answer.sentences, 1))


def _nearness(rows: Tensor, others: Tensor, neighbours: int) -> Tensor:
    """The mean cosine of each row with its nearest others, `[n]`."""
    count = min(neighbours, len(others))
    return torch.cat([(part @ others.T).topk(count, dim=1).values.mean(dim=1) for part in torch.split(rows, PORTION)])


@torch.no_grad()
def _by_ridge(head: Head, inputs: Tensor, right: Tensor, *, regularisation: float = 0.01) -> None:
    """Gives a head the output layers by which it is nearest to the right rows, its hidden layer being what it is."""
    plain = head.norm(inputs)
    bent = functional.gelu(head.into(plain))
    parts = [part.double().numpy() for part in (plain, bent)]
    # The parts differ in size by their making only; the ridge must not prefer one for it.
    sizes = [part.std() for part in parts]
    found = moments(np.hstack([part / size for part, size in zip(parts, sizes, strict=True)]), right.double().numpy())
    weight = ridge(found, regularisation=regularisation)[0].weight
    direct, out = np.split(weight, [parts[0].shape[1]])
    head.direct.weight.copy_(torch.from_numpy(direct.T / sizes[0]))
    head.direct.bias.copy_(torch.from_numpy(found.mean_y - found.mean_x @ weight))
    head.out.weight.copy_(torch.from_numpy(out.T / sizes[1]))


def _measured(run: Run, stored: Tensor, answer: Answer) -> dict[str, float]:
    return run.measure([answer.photos(stored[rows]) for rows in run.shown()], answer.sentences)
