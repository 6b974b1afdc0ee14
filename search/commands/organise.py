"""The commands that look at all photos, or at one: `descry duplicates`, `tag`, `words`, `groups`, `map`, `explain`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from indexer.errors import LibraryNotFound
from indexer.library import Library
from search.options import (
    COUNT,
    count_option,
    device_option,
    filter_options,
    format_option,
    limit_options,
    model_option,
)
from search.present.formats import ROW_FORMATS
from search.terminal import say, write

if TYPE_CHECKING:
    from indexer.encoders import Encoder
    from search.filters import Filter


KINDS = ("exact", "near-exact", "burst")

# Formats that print paths alone, and what stands behind each.
PATHS = {"paths": "\n", "paths0": "\0"}


@click.command()
@click.option("--kind", "kinds", multiple=True, type=click.Choice(KINDS), help="Only these; all of them by default.")
@format_option([*ROW_FORMATS, *PATHS])
@click.option(
    "--html",
    "page",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write a page that shows the groups, photos side by side, the best marked.",
)
@limit_options
@filter_options
@click.pass_obj
def duplicates(
    library: Path, kinds: tuple[str, ...], form: str, page: Path | None, filters: tuple[Filter, ...]
) -> None:
    """Show photos that are there several times: equal files, altered copies, bursts.

    Each group begins with its best photo: the most pixels, then the most bytes. Nothing is ever deleted;
    `--format paths` prints all but the best of each group, those of bursts only with --kind burst.

    \b
    descry duplicates --html duplicates.html
    descry duplicates --kind exact --in ~/Photos/2023 --format paths
    """
    from search.filters import matching_ids
    from search.organise import duplicates as report
    from search.present.sheet import check_page, write_groups
    from search.progress import watcher

    if form in PATHS:
        kinds = kinds or (report.EXACT, report.NEAR_EXACT)
    if page is not None:
        check_page(page.expanduser())
    with Library.open(library) as opened:
        among = matching_ids(opened.catalog, report.MODALITY, filters) if filters else None
        groups = report.duplicates(opened.catalog, kinds=kinds or KINDS, among=among, watcher=watcher())
    if form in PATHS:
        write("".join(f"{item.path}{PATHS[form]}" for item in report.spare(groups)))
    else:
        write(ROW_FORMATS[form](report.rows(groups)))
    say(report.summary(groups))
    if page is not None:
        say(write_groups(page.expanduser(), groups))


@click.command()
@click.option("--labels", type=click.Path(path_type=Path), metavar="FILE", help="Tag with the lines of FILE.")
@click.option("--remove", "removed", multiple=True, metavar="TAG", help="Take this tag off all photos.")
@click.option("--of", "photo", type=click.Path(path_type=Path), metavar="PHOTO", help="List the tags of this photo.")
@format_option(ROW_FORMATS)
@device_option
@click.pass_obj
def tag(
    library: Path, labels: Path | None, removed: tuple[str, ...], photo: Path | None, form: str, device: str
) -> None:
    """Tag photos with labels of your own, or list the tags there are.

    A photo gets every label by which `search LABEL --relevant` would find it, and none where nothing fits. Labels are
    tagged anew each time, so that new photos get theirs; other tags stay. `--tag` finds what bears a tag, `--tag other`
    what bears none.

    \b
    descry tag --labels things.txt
    descry search "by the sea" --tag dog
    """
    from search.organise import tags

    with Library.open(library, readonly=labels is None and not removed) as opened:
        if removed:
            say(f"taken off {tags.remove(opened, removed)} photos")
        if labels is not None:
            say(tags.summary(tags.tag(opened, labels, opened.encoder(device=device))))
        found = tags.counts(opened) if photo is None else tags.of(opened, photo)
    write(ROW_FORMATS[form](found))


@click.command()
@click.argument("photo")
@count_option(5, "Words at most.")
@format_option(ROW_FORMATS)
@device_option
@click.pass_obj
def words(library: Path, photo: str, k: int, form: str, device: str) -> None:
    """Say what a photo is about, in everyday words; it need not be in the library.

    \b
    descry words dog.jpg
    """
    from search.engine import Engine
    from search.organise.vocabulary import rivals, vocabulary, words_of
    from search.query import like
    from search.relevance import judge_for

    query = like(photo)
    with Library.open(library) as opened:
        engine = Engine(opened, device=device)
        known = vocabulary(opened, engine.encoder)
        judge = judge_for(engine.encoder.checksum, rivals(opened))
        (found,) = words_of(engine.embed([query]), known, judge, k=k)
    rows = [{"score": round(one.score, 3), "probability": round(one.probability, 3), "word": one.word} for one in found]
    write(ROW_FORMATS[form](rows))


@click.command()
@click.option("-n", "number", type=COUNT, help="So many groups; by default the root of half the photos.")
@click.option("--members", is_flag=True, help="List all photos of each group, not only the most typical one.")
@format_option(ROW_FORMATS)
@click.pass_obj
def groups(library: Path, number: int | None, members: bool, form: str) -> None:
    """Put the library's photos into groups of what is alike, each with a name.

    \b
    descry groups
    descry groups -n 12 --members --format json
    """
    from search.organise import groups as grouping

    with Library.open(library) as opened:
        found = grouping.groups_of(opened, opened.encoder(), number)
        write(ROW_FORMATS[form](grouping.rows(opened, found, members=members)))


@click.command("map")
@click.argument("page", type=click.Path(path_type=Path), metavar="FILE.html")
@click.option("-n", "number", type=COUNT, help="Groups to name, as of `descry groups`.")
@limit_options
@click.pass_obj
def map_(library: Path, page: Path, number: int | None) -> None:
    """Draw the library as a map: one page, without a network, on which alike photos lie side by side.

    Zoom with the wheel, drag, point at a photo to see it larger, click to open it. Of more than 10,000 photos a
    sample is shown. Needs scikit-learn: pip install 'descry[map]'.

    \b
    descry map photos.html
    """
    from search.organise.map import draw_map
    from search.progress import watcher

    with Library.open(library) as opened:
        said = draw_map(opened, page.expanduser(), opened.encoder(), number=number, watcher=watcher())
    say(said)


@click.command()
@click.argument("photo", type=click.Path(path_type=Path))
@click.argument("sentences", nargs=-1, required=True, metavar="SENTENCE...")
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE", help="Write the picture here: png, jpg, webp.")
@click.option("--overwrite", is_flag=True, help="Write over a file that is there.")
@click.option("--open", "show", is_flag=True, help="Open the picture with the desktop's program.")
@model_option("The encoder: by default the library's, without a library the shipped one.")
@device_option
@limit_options
@format_option(ROW_FORMATS)
@click.pass_obj
def explain(
    library: Path,
    photo: Path,
    sentences: tuple[str, ...],
    out: Path | None,
    overwrite: bool,
    show: bool,
    model: str | None,
    device: str,
    form: str,
) -> None:
    """Show which part of a photo fits the words, as a picture: the photo, and beside it one for each sentence.

    What fits best glows. The photo need not be in the library. SCORE is the cosine of the sentence and the
    whole photo, BEST that of the part that fits best.

    \b
    descry explain car.jpg "a red car" "a tree" --out car-explained.png
    """
    from search.present import heatmap
    from search.query import as_text

    place = heatmap.place_for(photo, out, overwrite=overwrite)
    heats = heatmap.heats(_encoder(library, model, device), photo, [as_text(sentence) for sentence in sentences])
    heatmap.save(heatmap.draw(photo, heats), place)
    write(ROW_FORMATS[form](heatmap.rows(heats)))
    say(f"{place} shows it")
    if show:
        click.launch(str(place))


def _encoder(library: Path, model: str | None, device: str) -> Encoder:
    """The encoder asked for, else the library's, else the shipped one."""
    from indexer.encoders import DEFAULT, load_encoder

    if model is not None:
        return load_encoder(model, device=device)
    try:
        with Library.open(library) as opened:
            encoder = load_encoder(opened.encoder_name, device=device)
            opened.check(encoder)
            return encoder
    except LibraryNotFound:
        return load_encoder(DEFAULT, device=device)
