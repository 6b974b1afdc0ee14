"""Where the files that travel with Descry are: the same call in a checkout and in an installed wheel."""

from __future__ import annotations

from pathlib import Path


def shipped(*parts: str) -> Path:
    """The path of something in the shipped data folder, such as `shipped("models", "embedded")`.

    A wheel carries the folder inside the package, because a top-level package named `data` would collide
    with other people's; in a checkout it stands beside the package.
    """
    package = Path(__file__).parent
    installed = package / "data"
    return (installed if installed.is_dir() else package.parent / "data").joinpath(*parts)
