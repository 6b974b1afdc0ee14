"""An environment a peer: made by venv, filled by pip with pinned versions, and kept for the next run."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parent.parent

# What was asked for and what is installed. Written last: an environment without it was not finished.
DONE = "packages.json"

# clip-retrieval brings torch with its CUDA libraries: minutes on a slow line.
TIMEOUT = 1800


class CannotRun(Exception):
    """Why a peer cannot be run; the others go on."""


class Row(NamedTuple):
    """A peer: the class that runs it, the packages of its environment (none: Descry's own), and a note."""

    kind: type[Any]
    packages: tuple[str, ...]
    about: str

    def told(self) -> dict[str, Any]:
        """Who it is, for a result."""
        return {"about": self.about, "packages": list(self.packages)}


@dataclass(frozen=True, slots=True)
class Environment:
    """A peer's environment below `folder`: its packages as pip is given them; none means Descry's own environment.

    With `is_beside`, what Descry's environment holds can be imported too, behind the packages.
    """

    packages: tuple[str, ...]
    folder: Path
    is_beside: bool = False

    @classmethod
    def below(cls, folder: Path, packages: tuple[str, ...], *, is_beside: bool = False) -> Environment:
        """The environment of these packages below a folder of environments: peers of one package share it."""
        name = re.sub(r"[^\w.]+", "-", packages[0]) if packages else "descry"
        return cls(packages, folder / "environments" / name, is_beside)

    def make(self) -> None:
        """Makes the environment, unless it is there. Raises `CannotRun` if the packages cannot be installed."""
        if self.packages and self._told().get("asked") != list(self.packages):
            self._make()

    def _told(self) -> dict[str, Any]:
        told = self.folder / DONE
        held: dict[str, Any] = json.loads(told.read_text(encoding="utf-8")) if told.is_file() else {}
        return held

    @property
    def python(self) -> Path:
        """The interpreter to run the peer with, made if need be. Raises `CannotRun`."""
        self.make()
        return self._tool("python") if self.packages else Path(sys.executable)

    def _tool(self, name: str) -> Path:
        return self.folder / ("Scripts" if os.name == "nt" else "bin") / name

    def tool(self, name: str) -> Path:
        """A command that the packages brought."""
        return self.python.parent / name

    def _make(self) -> None:
        _run(sys.executable, "-m", "venv", "--clear", str(self.folder))
        python = str(self._tool("python"))
        _run(python, "-m", "pip", "install", "--quiet", *self.packages)
        if self.is_beside:
            inside = _run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip()
            beside = f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n"  # and what its .pth files add
            (Path(inside) / "beside.pth").write_text(beside, encoding="utf-8")
        frozen = _run(python, "-m", "pip", "list", "--format", "json")
        installed = {row["name"]: row["version"] for row in json.loads(frozen)}
        told = {"asked": self.packages, "installed": installed}
        (self.folder / DONE).write_text(json.dumps(told), encoding="utf-8")

    def versions(self) -> dict[str, str]:
        """What pip has installed, by name; empty for Descry's own environment."""
        installed: dict[str, str] = self._told().get("installed", {})
        return installed


def _run(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    except subprocess.TimeoutExpired as error:
        raise CannotRun(f"installing took more than {TIMEOUT} s") from error
    if done.returncode:
        raise CannotRun(f"pip: {(done.stderr.strip() or 'no message').splitlines()[-1].strip()}")
    return done.stdout
