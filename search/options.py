"""The options that commands share, and what a shell offers for their values."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any, BinaryIO

import click
from click.shell_completion import CompletionItem

from indexer.storage.listing import FACETS
from search.filters import FIELDS, Field, Filter, negated
from search.present.formats import FORMATS
from search.present.sinks import SINK_TYPES
from search.query import BY_RELEVANCE, ORDERS, PICTURES, STRICTNESS, check_address, modalities_named

Command = Callable[..., Any]
Decorator = Callable[[Command], Command]

# As many as anybody may ask for.
MOST = 10**9

# Values that are offered at most: more would only scroll by.
OFFERED = 200


class Count(click.IntRange):
    """A number of things that somebody may ask for."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The number, or the error that click shows."""
        number = super().convert(value, param, ctx)
        if number > MOST:
            self.fail(f"{str(value)[:40]} is more than anybody can look at: {MOST:,} at most.", param, ctx)
        return number


COUNT = Count(min=1)


class Finite(click.FloatRange):
    """A number in a range, which infinity and NaN are not."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The number, or the error that click shows."""
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value} is no number that can be used.", param, ctx)
        return number


class PlacePath(click.Path):
    """A file or folder, which an address is not."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The path. Raises `QueryError` for an address."""
        check_address(os.fsdecode(value))
        return super().convert(value, param, ctx)


@dataclass(frozen=True, slots=True)
class Output:
    """How to answer: in which format, from which file the questions come, on which device, and where else it goes."""

    form: str
    long: bool
    device: str
    queries_from: BinaryIO | None
    sinks: Mapping[str, Any]


def search_options(*, k: int, wanted: Sequence[str]) -> Decorator:
    """Gives a command the options of searching, handed over as `output` and the fields of `Query`, by their names."""

    def decorate(command: Command) -> Command:
        def gathered(*arguments: Any, fits: str | None, **values: Any) -> Any:
            output = Output(**{name: values.pop(name) for name in Output.__dataclass_fields__})
            values |= {"relevant": True, "fits": fits} if fits else {}
            return command(*arguments, output=output, **values)

        flags = {
            "include_self": ("--include-self", "Let a photo of the library find itself."),
            "relevant": ("--relevant", "Only what fits, however few; each with the probability that it does."),
            "unique": ("--unique", "Fold what is nearly the same into one, and count it."),
            "diverse": ("--diverse", "Prefer variety among what fits."),
        }
        return _decorated(
            wraps(command)(gathered),
            count_option(k),
            modality_option(wanted),
            *(click.option(flag, name, is_flag=True, help=help) for name, (flag, help) in flags.items()),
            click.option(
                "--words/--no-words",
                "by_words",
                default=None,
                help="Look words up in names of files and folders, captions and texts; by default those that few hold.",
            ),
            click.option(
                "--fits", type=click.Choice(STRICTNESS), help="Only what fits, as strictly; --relevant is normally."
            ),
            click.option(
                "--rerank",
                default="",
                metavar="NAME|FOLDER",
                help="Order the first hundred by a BLIP model that looks at words and photo together.",
            ),
            sort_option(BY_RELEVANCE, "Or of all that fits, as --relevant tells:"),
            format_option(FORMATS),
            long_option,
            click.option(
                "--queries-from",
                type=click.File("rb"),
                metavar="FILE",
                help="Take queries from FILE, one a line (- is stdin), and answer each on a line of JSON.",
            ),
            device_option,
            limit_options,
            sink_options,
            filter_options,
        )

    return decorate


def _decorated(command: Command, *decorators: Decorator) -> Command:
    for decorator in reversed(decorators):
        command = decorator(command)
    return command


def count_option(k: int, help: str = "Results at most.") -> Decorator:
    """`-k`, also called `-n` and `--limit`."""
    return click.option("-k", "-n", "--limit", "k", default=k, show_default=True, type=COUNT, help=help)


def modality_option(wanted: Sequence[str]) -> Decorator:
    """`--modality`, handed over as `wanted`."""
    return click.option(
        "--modality",
        "wanted",
        default=",".join(wanted),
        show_default=True,
        metavar="KIND",
        callback=lambda _ctx, _parameter, value: modalities_named(value),
        help="image, video, speech, caption or text; several of one tower with commas between.",
    )


def sort_option(default: str, help: str) -> Decorator:
    """`--sort`, an order with its direction."""
    return click.option(
        "--sort",
        default=default,
        show_default=True,
        metavar="ORDER",
        help=f"{help} {', '.join(ORDERS)}; with a dash before it the greatest first, as -date for the newest.",
        shell_complete=lambda _ctx, _parameter, incomplete: _beginning(incomplete, (BY_RELEVANCE, *ORDERS)),
    )


def format_option(formats: Iterable[str]) -> Decorator:
    """`--format`, handed over as `form`, and `--json`, which is one of them."""

    def decorate(command: Command) -> Command:
        def chosen(*arguments: Any, form: str, as_json: bool, **values: Any) -> Any:
            return command(*arguments, form="json" if as_json else form, **values)

        return _decorated(
            wraps(command)(chosen),
            click.option("--format", "form", type=click.Choice(list(formats)), default="table", show_default=True),
            click.option("--json", "as_json", is_flag=True, help="The same as --format json."),
        )

    return decorate


long_option = click.option("--long", is_flag=True, help="In a table, with what is known of each photo.")

device_option = click.option("--device", default="auto", show_default=True, metavar="NAME", help="cpu, cuda, mps ...")


def limit_options(command: Command) -> Command:
    """Gives a command that decodes photos the limits on them, which then hold for the process."""
    return _decorated(
        command,
        click.option(
            "--max-megapixels",
            type=Finite(0, 1e6, min_open=True),
            help="Refuse photos that are larger.  [default: 250]",
            expose_value=False,
            callback=lambda _ctx, _parameter, value: _limit("pixels", value, 1e6),
        ),
        click.option(
            "--max-memory",
            metavar="GB",
            type=Finite(0, 1e6, min_open=True),
            help="Memory that decoding photos may take; without it, a sixth of the machine's, 4 GB at most.",
            expose_value=False,
            callback=lambda _ctx, _parameter, value: _limit("total", value, 1e9),
        ),
    )


def _limit(name: str, value: float | None, unit: float) -> None:
    if value is not None:
        from indexer.photos.memory import BUDGET  # late: most commands decode no photo

        setattr(BUDGET, name, int(value * unit))


def sink_options(command: Command) -> Command:
    """Gives a command an option for each way that an answer can take, handed over as `sinks`."""

    def gathered(*arguments: Any, **values: Any) -> Any:
        given = {name: values.pop(_parameter("sink", name)) for name in SINK_TYPES}
        return command(*arguments, sinks={name: value for name, value in given.items() if value}, **values)

    return _decorated(wraps(command)(gathered), *map(_sink_option, SINK_TYPES))


def _sink_option(name: str) -> Decorator:
    row = SINK_TYPES[name]
    kind: dict[str, Any] = {"metavar": row.metavar} if row.metavar else {"is_flag": True}
    return click.option(f"--{name}", _parameter("sink", name), help=row.help, **kind)


def filter_options(command: Command) -> Command:
    """Gives a command the filters, handed over as `filters`."""

    def gathered(*arguments: Any, **values: Any) -> Any:
        return command(*arguments, filters=tuple(_filters(values)), **values)

    return _decorated(
        wraps(command)(gathered),
        *(_filter_option(name, field) for name, field in FIELDS.items()),
        click.option(
            "--not",
            "left_out",
            multiple=True,
            metavar="FILTER=VALUE",
            help="Leave out what a filter lets through, as in --not camera=canon.",
        ),
    )


def _filter_option(name: str, field: Field) -> Decorator:
    if not field.forms:
        return click.option(f"--{name}", _parameter("filter", name), is_flag=True, help=field.help)
    return click.option(
        f"--{name}",
        _parameter("filter", name),
        multiple=True,
        metavar=field.metavar,
        help=field.help,
        shell_complete=_of_the_library(name),
    )


def _parameter(kind: str, name: str) -> str:
    return f"{kind}_{name.replace('-', '_')}"


def _filters(values: dict[str, Any]) -> Iterator[Filter]:
    """The filters among a command's parameters, which they leave."""
    for name in FIELDS:
        given = values.pop(_parameter("filter", name))
        yield from (Filter(name, value) for value in given) if isinstance(given, tuple) else (Filter(name),) * given
    yield from map(negated, values.pop("left_out"))


# what a shell offers

Completion = Callable[[click.Context, click.Parameter, str], list[Any]]


def model_option(help: str) -> Decorator:
    """`--model`, whose values are the short names of encoders."""
    return click.option("--model", metavar="NAME", shell_complete=_models, help=help)


def _models(_ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    from indexer.encoders.models import MODELS

    return [card.alias for card in MODELS if card.alias.startswith(incomplete)]


def _of_the_library(field: str) -> Completion | None:
    """What a shell offers for a filter: its own values, or those that the library holds."""
    if choices := FIELDS[field].choices:
        return lambda _ctx, _parameter, incomplete: _beginning(incomplete, choices)
    if field not in FACETS:
        return None

    def offered(ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[Any]:
        found = _beginning(incomplete, _values(ctx, field))
        return found or ([CompletionItem(incomplete, type="dir")] if field == "in" else [])

    return offered


def _values(ctx: click.Context, field: str) -> list[str]:
    """The values of a field in the library that a command line names; nothing where that cannot be read."""
    from search.cli import default_library

    with suppress(Exception):  # a shell that completes has no place for errors
        from indexer.library import Library

        path = next((found for found in (ctx.obj, *_named(ctx)) if isinstance(found, Path)), None)
        with Library.open(path or default_library()) as library:
            return list(library.catalog.listing.facets(PICTURES)[field])
    return []


def _named(ctx: click.Context) -> Iterator[Path | None]:
    """The library that the command line names so far."""
    here: click.Context | None = ctx
    while here is not None:
        yield here.params.get("library")
        here = here.parent


def _beginning(incomplete: str, values: Iterable[str]) -> list[str]:
    return [value for value in values if value.lower().startswith(incomplete.lower())][:OFFERED]
