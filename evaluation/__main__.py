"""`python -m evaluation COMMAND`: how good an encoder is, as tables for people or as JSON."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from evaluation import relevance
from evaluation.arithmetic import feedback, negation
from evaluation.classify import classify
from evaluation.compare import captioned_retrieval, compare, labelled_sets, side_by_side
from evaluation.datasets import READERS, DataError, Example, embed_photos, held_out, read_captioned
from evaluation.duplicates import measure as measure_duplicates
from evaluation.films import films
from evaluation.hybrid import hybrid
from evaluation.languages import QUESTIONS, languages
from evaluation.organising import tagging, words
from evaluation.pointing import pointing
from evaluation.questions import HERE, Found, demo, everyday, held_out_photos, kinds
from indexer import shipped
from indexer.encoders import DEFAULT, Encoder, load_encoder
from indexer.errors import DescryError
from search.organise.vocabulary import keep, kept_beside_models
from search.relevance import judge_for, table_path

Options = argparse.Namespace


def _captioned(options: Options) -> list[Example]:
    """The photos of `--set`, a path or a name below `--data`, of the split `--split`; all where no splits are told."""
    path = _place(options)
    everything = read_captioned(path)
    told = any(example.split for example in everything)
    examples = [example for example in everything if not told or options.split in ("all", example.split)]
    if not examples:
        raise DataError(f"{path}: no photo belongs to the split {options.split!r}; see --split.")
    return examples


def _place(options: Options, *below: str, suffix: str = "") -> Path:
    """Where `--set` is: the path itself if there is one of that name, else below `--data`."""
    given = Path(options.set).expanduser()
    if given.exists() or options.data is None:
        return given
    return Path(options.data).joinpath(*below, options.set + suffix)


def _labelled(path: Path) -> list[Example]:
    if not path.is_file():
        raise DataError(f"{path}: missing; --set names a labelled set below --data.")
    return READERS["labelled_tar"](path)


def _labels(options: Options) -> list[Example]:
    """The labelled photos of `--set`, a tar or the name of one below `--data`."""
    return _labelled(_place(options, "labelled", suffix=".tar"))


def run_retrieval(encoder: Encoder, options: Options) -> dict[str, Any]:
    """Retrieval both ways on a captioned set of any format."""
    examples = _captioned(options)
    captions = sum(len(example.captions) for example in examples)
    return {"photos": len(examples), "captions": captions, **captioned_retrieval(encoder, examples)}


def run_classify(encoder: Encoder, options: Options) -> dict[str, Any]:
    """Zero-shot classification of the held-out tenth of a labelled set."""
    examples = _labels(options)
    result = classify(encoder, held_out(examples)[1], sorted({example.label for example in examples}))
    table: dict[str, Any] = dict(result.measures())
    if options.per_class:
        table["each class"] = result.per_class()
    return table | {"confused": [f"{a} -> {b} ({n})" for a, b, n in result.confusions()]}


def run_everyday(encoder: Encoder, options: Options) -> dict[str, Any]:
    """Everyday words over the held-out tenths of the labelled sets."""
    table = json.loads((HERE / "everyday_queries.json").read_text(encoding="utf-8"))
    sets = labelled_sets(options.data).values()
    return _found_table(everyday(encoder, [photo for examples in sets for photo in held_out(examples)[1]], table))


def _found_table(found: Sequence[Found]) -> dict[str, Any]:
    lines = [
        f"{'right' if one.rank == 1 else f'rank {one.rank}':8} {one.query!r}: "
        + ", ".join(f"{name} {score:.2f}" for name, score in one.best)
        for one in found
    ]
    first, ten = (sum(one.rank <= k for one in found) for k in (1, 10))
    return {"queries": len(found), "right first": first, "right in ten": ten, "found": lines}


def run_negation(encoder: Encoder, options: Options) -> dict[str, Any]:
    """Ways to take things away, on pairs of things that a captioned set names."""
    examples = _captioned(options)
    return negation(partial(encoder.embed, "text"), embed_photos(encoder, examples), examples)


def run_duplicates(encoder: Encoder, options: Options) -> dict[str, Any]:
    """Copies of the photos of a captioned set, made in known ways, and photos of one class in a row."""
    caltech = _labelled(options.data / "labelled" / "caltech101.tar")
    return measure_duplicates(encoder, _captioned(options), held_out(caltech)[1])


def run_relevance(encoder: Encoder, options: Options) -> dict[str, Any]:
    """Agreement with people's judgements, and the relevance cut-off beside a flat one."""
    held = relevance.bench(encoder, options.data)
    if not options.fit:
        return relevance.tables(held, judge_for(encoder.checksum, held.rivals), folds=False)
    judge = relevance.fit(held)
    figures = relevance.tables(held, judge)
    relevance.write(judge, encoder, figures, table_path())
    keep(kept_beside_models(), encoder.checksum, held.vocabulary)
    return {**figures, "written to": [str(table_path()), str(kept_beside_models())]}


def run_compare(encoder: Encoder, options: Options) -> dict[str, Any]:
    """`--model` and the encoders of `--against`, side by side."""
    others = {name: load_encoder(name, device=options.device) for name in options.against}
    sets = labelled_sets(options.data)
    return dict(compare({options.model: encoder, **others}, _captioned(options), sets, options.photos))


# What needs no data set, and what takes any one that --set names; the others need the folder of --data.
WITHOUT_DATA = ("demo",)
ANY_SET = ("retrieval", "classify", "feedback", "pointing", "words", "tags", "negation", "hybrid", "films", "languages")

# What each measures is said where it is defined.
COMMANDS: dict[str, Callable[[Encoder, Options], Mapping[str, Any]]] = {
    "retrieval": run_retrieval,
    "classify": run_classify,
    "feedback": lambda encoder, options: feedback(encoder, _labels(options)),
    "demo": lambda encoder, options: _found_table(demo(encoder, options.photos)),
    "everyday": run_everyday,
    "kinds": lambda encoder, options: kinds(encoder, held_out_photos(options.data)),
    "pointing": lambda encoder, options: pointing(encoder, _captioned(options)),
    "words": lambda encoder, options: words(encoder, _captioned(options)),
    "tags": lambda encoder, options: tagging(encoder, held_out(_labels(options))[1]),
    "duplicates": run_duplicates,
    "negation": run_negation,
    "hybrid": lambda encoder, options: hybrid(encoder, _captioned(options)),
    "films": lambda encoder, options: films(encoder, _captioned(options)),
    "languages": lambda encoder, options: languages(encoder, _captioned(options), options.questions),
    "relevance": run_relevance,
    "compare": run_compare,
}


def main(arguments: list[str] | None = None) -> int:
    """Measures and prints; 0 done, 2 the request or the data was wrong."""
    options = _parser().parse_args(arguments)
    given = options.command in ANY_SET and Path(options.set).expanduser().exists()
    if options.command not in WITHOUT_DATA and options.data is None and not given:
        print("Error: --data is needed: the folder that holds the data sets.", file=sys.stderr)
        return 2
    try:
        table = COMMANDS[options.command](load_encoder(options.model, device=options.device), options)
    except DescryError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 2
    print(
        json.dumps(table, indent=1, ensure_ascii=False)
        if options.json
        else TABLES.get(options.command, _for_people)(table)
    )
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m evaluation", description=__doc__)
    parser.add_argument("command", choices=COMMANDS, help="speed is measured by `python -m benchmarks`")
    parser.add_argument("--model", default=DEFAULT, help="as for `descry index --model`")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--data", type=Path, help="the folder that holds the data sets")
    parser.add_argument("--set", default="flickr8k", help="the data set: any file or folder, or a name below --data")
    parser.add_argument("--split", default="val", help="val, test, train or all; test is for the last measurement")
    parser.add_argument("--photos", type=Path, default=shipped("photos"), help="the demo's photos")
    parser.add_argument("--per-class", action="store_true", help="classify: precision, recall and F1 of each class")
    parser.add_argument("--fit", action="store_true", help="relevance: calibrate the encoder and write its constants")
    parser.add_argument("--questions", type=Path, default=QUESTIONS, help="languages: another table of them")
    parser.add_argument("--against", nargs="+", default=[], metavar="MODEL", help="compare: encoders beside --model")
    parser.add_argument("--json", action="store_true")
    return parser


def _for_people(table: Mapping[str, Any]) -> str:
    lines = []
    for name, value in table.items():
        if isinstance(value, dict):
            lines += [name, *(f"  {inner:20} {_cell(held)}" for inner, held in value.items())]
        elif isinstance(value, list):
            lines += [name, *(f"  {line}" for line in value)]
        else:
            lines.append(f"{name:22} {_number(value)}")
    return "\n".join(lines)


# Tables that people read better in a form of their own.
TABLES: dict[str, Callable[[Mapping[str, Any]], str]] = {"compare": side_by_side}


def _cell(value: Any) -> str:
    """A number, or several with their names."""
    if isinstance(value, dict):
        return "  ".join(f"{name} {_number(number)}" for name, number in value.items())
    return _number(value)


def _number(value: float) -> str:
    return f"{value:.3f}" if isinstance(value, float) and not value.is_integer() else f"{value:g}"


if __name__ == "__main__":
    sys.exit(main())
