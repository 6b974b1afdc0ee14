"""Where the command line meets a terminal or a pipe: what goes out, in which form, and what if it cannot.

On a terminal no control character of a name or caption arrives: it is shown as an escape. In a pipe or file every name
goes out as the bytes that it is.
"""

from __future__ import annotations

import codecs
import os
import re
import signal
import sys
import warnings
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from io import TextIOWrapper
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn
from urllib.parse import quote

import click

from indexer.errors import DamageWarning, OutputError, reason_of

INTERRUPTED = 130

# What a shell reports of a program whose reader went away.
BROKEN_PIPE = 128 + 13

# Control characters, marks that turn the direction of a line round, line separators, and bytes that are no text.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")

# Terminals that take no control sequences.
_DUMB = ("dumb", "")

# The signal that ended a run, if it was not Ctrl-C.
_ended_by: list[int] = []


def visible(text: str, *, keep: str = "") -> str:
    r"""Text without control characters, which are shown as escapes; those in `keep` stay.

    >>> visible("a\x1b[31m\n.jpg")
    'a\\x1b[31m\\n.jpg'
    """
    if text.isprintable():
        return text
    return _CONTROL.sub(lambda match: match[0] if match[0] in keep else _escaped(match[0]), text)


def _escaped(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is no text, as Python carries it
        return f"\\x{code - 0xDC00:02x}"
    return repr(character)[1:-1] if code < 0x100 else f"\\u{code:04x}"


def _bytes_or_escapes(error: UnicodeError) -> tuple[bytes | str, int]:
    """What an encoding lacks: the byte that a surrogate stands for, else an escape as JSON has it."""
    assert isinstance(error, UnicodeEncodeError)
    character = error.object[error.start]
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:
        return bytes([code - 0xDC00]), error.start + 1
    units = character.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[start : start + 4]}" for start in range(0, len(units), 4)), error.start + 1


codecs.register_error("descry", _bytes_or_escapes)


def prepare() -> None:
    """Makes the process ready: standard streams that are there and take any name, and signals that end it cleanly."""
    for descriptor, flags in ((0, os.O_RDONLY), (1, os.O_RDONLY), (2, os.O_WRONLY)):
        try:
            os.fstat(descriptor)
        except OSError:  # closed: a file that is opened later must not be taken for it
            os.open(os.devnull, flags)  # gets the lowest free number
    sys.stdin = sys.stdin or open(0, closefd=False)  # noqa: SIM115
    sys.stdout = sys.stdout or open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = sys.stderr or open(2, "w", closefd=False)  # noqa: SIM115
    if isinstance(sys.stdout, TextIOWrapper):
        of_names = sys.getfilesystemencoding()
        encoding = None if is_terminal() else "utf-8" if codecs.lookup(of_names).name == "ascii" else of_names
        sys.stdout.reconfigure(encoding=encoding, errors="descry")
    warnings.filterwarnings("always", category=DamageWarning)
    warnings.showwarning = partial(_warn, warnings.showwarning)
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _end)


def _warn(others: Callable[..., None], message: Warning | str, category: type[Warning], *place: Any) -> None:
    """Says what the libraries warn of; `others` shows other warnings."""
    if issubclass(category, DamageWarning):
        say(f"warning: {message}")
    else:
        others(message, category, *place)


def _end(number: int, _frame: FrameType | None) -> NoReturn:
    """A signal to end is answered like Ctrl-C: what is begun is cleared away, what is done is kept."""
    _ended_by.append(number)
    raise KeyboardInterrupt


def leave(code: int) -> NoReturn:
    """Ends the process at once: a loader thread that still decodes a photo would be waited for otherwise."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(128 + _ended_by[0] if code == INTERRUPTED and _ended_by else code)


def leave_interrupted() -> NoReturn:
    """Ends a run that was interrupted, which the next one goes on with."""
    say("Interrupted. What is done is kept: run the same command again to go on.")
    leave(INTERRUPTED)


def write(text: str, *, safe: bool = False) -> None:
    """Writes an answer to standard output; on a terminal visible only, unless whoever made it saw to that (`safe`).

    Raises `OutputError` where it cannot be written, `BrokenPipeError` where nobody reads.
    """
    try:
        sys.stdout.write(text if safe or not is_terminal() else visible(text, keep="\n"))
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputError(f"The answer cannot be written ({reason_of(error)}).") from error


def say(*lines: str) -> None:
    """Says something beside the answer, a line each, on standard error; where that is gone, nobody hears."""
    with suppress(OSError, ValueError):
        for line in lines:
            click.echo(visible(line), err=True)


def is_terminal() -> bool:
    """Whether people read standard output as it comes."""
    return sys.stdout.isatty()


def styled(text: str, **style: object) -> str:
    """The text in `click.style`'s colours, where it is for a terminal that has some and $NO_COLOR is not set."""
    colours = is_terminal() and os.environ.get("TERM", "") not in _DUMB and not os.environ.get("NO_COLOR")
    return click.style(text, **style) if colours else text  # type: ignore[arg-type]


def linked(text: str, path: Path) -> str:
    """The text as a link to a file (OSC 8), where it is for a terminal."""
    if not is_terminal() or os.environ.get("TERM", "") in _DUMB:
        return text
    return f"\x1b]8;;file://{quote(os.fsencode(path.absolute()))}\x1b\\{text}\x1b]8;;\x1b\\"


def shortest(path: Path) -> str:
    """A path as it is shown: as seen from the working directory where that is shorter."""
    with suppress(OSError, ValueError):  # the directory may be gone, or on another drive
        return min(str(path), os.path.relpath(path), key=len)
    return str(path)
