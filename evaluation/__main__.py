"""`python -m evaluation COMMAND`: how good an encoder is, as tables for people or as JSON."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from evaluation.classify import classify
from evaluation.datasets import READERS, DataError, Example, held_out
from evaluation.found import HERE, Found, demo, everyday
from evaluation.photos import embed_photos
from evaluation.retrieval import retrieval
from evaluation.speed import speed
from indexer.encoders import DEFAULT, Encoder, load_encoder
from indexer.errors import DescryError
from indexer.shipped import shipped

Options = argparse.Namespace


def run_retrieval(encoder: Encoder, options: Options) -> dict[str, Any]:
    """Retrieval both ways on a captioned set."""
    examples = [
        example
        for example in READERS["captions_jsonl"](options.data / options.set / "captions.jsonl")
        if options.split in ("all", example.split)
    ]
    if not examples:
        raise DataError(f"{options.data / options.set}: no photo belongs to the split {options.split!r}.")
    photos = embed_photos(encoder, examples)
    captions = encoder.embed("text", [caption for example in examples for caption in example.captions])
    owners = np.repeat(np.arange(len(examples)), [len(example.captions) for example in examples])
    return {"photos": len(examples), "captions": len(captions), **retrieval(photos, captions, owners)}


def run_classify(encoder: Encoder, options: Options) -> dict[str, Any]:
    """Zero-shot classification of the held-out tenth of a labelled set."""
    examples = _labelled(options.data, options.set)
    result = classify(encoder, held_out(examples)[1], sorted({example.label for example in examples}))
    return {**result.measures(), "confused": [f"{a} -> {b} ({n})" for a, b, n in result.confusions()]}


def _labelled(data: Path, name: str) -> list[Example]:
    path = data / "labelled" / f"{name}.tar"
    if not path.is_file():
        raise DataError(f"{path}: missing; --set names a labelled set below --data.")
    return READERS["labelled_tar"](path)


def run_demo(encoder: Encoder, options: Options) -> dict[str, Any]:
    """The demo queries over the demo photos."""
    return _found_table(demo(encoder, options.photos))


def run_everyday(encoder: Encoder, options: Options) -> dict[str, Any]:
    """Everyday words over the held-out tenths of the labelled sets."""
    table = json.loads((HERE / "everyday_queries.json").read_text(encoding="utf-8"))
    sets = sorted(path.stem for path in (options.data / "labelled").glob("*.tar"))
    photos = [example for name in sets for example in held_out(_labelled(options.data, name))[1]]
    return _found_table(everyday(encoder, photos, table))


def _found_table(found: Sequence[Found]) -> dict[str, Any]:
    lines = [
        f"{'right' if one.rank == 1 else f'rank {one.rank}':8} {one.query!r}: "
        + ", ".join(f"{name} {score:.2f}" for name, score in one.best)
        for one in found
    ]
    first, ten = (sum(one.rank <= k for one in found) for k in (1, 10))
    return {"queries": len(found), "right first": first, "right in ten": ten, "found": lines}


def run_speed(encoder: Encoder, options: Options) -> dict[str, Any]:
    """Photos a second and milliseconds a query."""
    return speed(encoder, options.photos)


COMMANDS: dict[str, Callable[[Encoder, Options], dict[str, Any]]] = {
    "retrieval": run_retrieval,
    "classify": run_classify,
    "demo": run_demo,
    "everyday": run_everyday,
    "speed": run_speed,
}


def main(arguments: list[str] | None = None) -> int:
    """Measures and prints; 0 done, 2 the request or the data was wrong."""
    options = _parser().parse_args(arguments)
    if options.command in ("retrieval", "classify", "everyday") and options.data is None:
        print("Error: --data is needed: the folder that holds the data sets.", file=sys.stderr)
        return 2
    try:
        table = COMMANDS[options.command](load_encoder(options.model, device=options.device), options)
    except DescryError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 2
    print(json.dumps(table, indent=1, ensure_ascii=False) if options.json else _for_people(table))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m evaluation", description=__doc__)
    parser.add_argument("command", choices=COMMANDS)
    parser.add_argument("--model", default=DEFAULT, help="as for `descry index --model`")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--data", type=Path, help="the folder that holds the data sets")
    parser.add_argument("--set", default="flickr8k", help="the data set: a folder or a labelled tar's name")
    parser.add_argument("--split", default="val", help="val, test, train or all; test is for the last measurement")
    parser.add_argument("--photos", type=Path, default=shipped("photos"), help="the demo's photos")
    parser.add_argument("--json", action="store_true")
    return parser


def _for_people(table: dict[str, Any]) -> str:
    lines = []
    for name, value in table.items():
        if isinstance(value, dict):
            lines += [name, *(f"  {inner:20} {_number(number)}" for inner, number in value.items())]
        elif isinstance(value, list):
            lines += [name, *(f"  {line}" for line in value)]
        else:
            lines.append(f"{name:22} {_number(value)}")
    return "\n".join(lines)


def _number(value: float) -> str:
    return f"{value:.3f}" if isinstance(value, float) and not value.is_integer() else f"{value:g}"


if __name__ == "__main__":
    sys.exit(main())
