"""`descry tag`: photos tagged with labels of one's own."""

from __future__ import annotations

from pathlib import Path

import click

from search.options import device_option, format_option
from search.output import ROW_FORMATS
from search.terminal import say, write


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
    from indexer.library import Library
    from search.organise import tags

    with Library.open(library, readonly=labels is None and not removed) as opened:
        if removed:
            say(f"taken off {tags.remove(opened, removed)} photos")
        if labels is not None:
            say(tags.summary(tags.tag(opened, labels, opened.encoder(device=device))))
        found = tags.counts(opened) if photo is None else tags.of(opened, photo)
    write(ROW_FORMATS[form](found))
