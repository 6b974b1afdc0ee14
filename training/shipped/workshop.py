"""What the stages of a run share: where they take from and write to, the data, the models before training."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from evaluation.datasets import DataError
from indexer.encoders.embedded_image import Head
from training.shipped.batches import Sampler
from training.shipped.config import Config, Stage
from training.shipped.corpus import Part, label_vocabulary, offsets, read_part, teacher_vocabularies, with_labels
from training.shipped.starting_points import ImageStart, read_mobilenet, read_potion
from training.shipped.validation import Validation
from training.shipped.words import Vocabulary, read_groups
from training.text_model import TextModel
from training.texts import Texts


@dataclass(frozen=True)
class Workshop:
    """Where a run takes from and writes to, and what its stages share, read when first needed."""

    config: Config
    data: Path
    models: Path
    out: Path

    @cached_property
    def start(self) -> ImageStart:
        """The image weights that training starts from."""
        return read_mobilenet(self.models / self.config.image_start)

    @cached_property
    def parts(self) -> list[Part]:
        """The sources with their photos."""
        return [read_part(source, self.data) for source in self.config.sources]

    @cached_property
    def texts(self) -> Texts:
        """The tokeniser."""
        return Texts(self.tokenizer, self.config.text.context)

    @property
    def tokenizer(self) -> Path:
        """The tokeniser's file, which the encoder ships too."""
        return self.models / self.config.text_start / "tokenizer.json"

    @cached_property
    def vocabularies(self) -> list[Vocabulary]:
        """The teacher's words and those of the labels, over all photos in the order of `parts`."""
        features = load_tensors(self.out / "teacher.pt", "teacher")["features"]
        examples = [example for part in self.parts for example in part.examples]
        said = self.start.probabilities(features)
        known = with_labels(said, examples, self.start.names)
        words = teacher_vocabularies(known, self.start.names, read_groups(self.config.words))
        starts = offsets(self.parts).tolist()
        labelled = [label_vocabulary(part, at, starts[-1]) for part, at in zip(self.parts, starts, strict=False)]
        return [*words, *(vocabulary for vocabulary in labelled if vocabulary)]

    @cached_property
    def validation(self) -> Validation:
        """Flickr8k's validation photos."""
        return Validation.read(self.config.sources[0], self.data, self.config.size)

    def new_text(self) -> TextModel:
        """A text tower on the published token vectors."""
        torch.manual_seed(self.config.seed)
        model = TextModel(self.config.text)
        vectors = torch.from_numpy(read_potion(self.models / self.config.text_start))
        if vectors.shape != model.table.weight.shape:
            shape = tuple(vectors.shape)
            raise DataError(f"{self.models / self.config.text_start}: token vectors {shape}, not as configured.")
        model.table.weight.data.copy_(vectors / vectors.std() / 2)
        return model

    def new_head(self) -> Head:
        """An untrained image head."""
        torch.manual_seed(self.config.seed)
        return Head(self.start.head.shape[1], self.config.hidden, self.config.text.dimension)

    def sampler(self, stage: Stage) -> Sampler:
        """A sampler for a stage; different stages draw differently."""
        shares = [stage.shares.get(source.name, source.share) for source in self.config.sources]
        seed = self.config.seed + stage.plan.steps
        return Sampler(
            self.parts,
            self.vocabularies,
            shares=shares,
            captions=stage.captions,
            templates=stage.templates,
            seed=seed,
        )


def load_tensors(path: Path, stage: str) -> Any:
    """What an earlier stage wrote. Raises `DataError` naming that stage where it has not run."""
    if not path.is_file():
        raise DataError(f"{path}: missing; run `python -m training shipped --stage {stage}` with the same --out first.")
    return torch.load(path, weights_only=False)
