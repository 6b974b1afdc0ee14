"""A Milvus server for tests, from the wheel `milvus-lite`; skipped where that is not installed."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

SERVE = (
    "import sys; from milvus_lite.adapter.grpc.server import run_server; run_server(*sys.argv[1:3], int(sys.argv[3]))"
)


@contextmanager
def running_milvus() -> Iterator[str]:
    """The address of a server while inside, without a catalog's: "milvus://127.0.0.1:PORT"."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for package, wheel in (("pymilvus", "descry[milvus]"), ("milvus_lite", "--no-deps milvus-lite")):
            pytest.importorskip(package, reason=f"{package} is not installed: pip install {wheel}")
    folder = tempfile.mkdtemp(prefix="descry-milvus-")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, "-c", SERVE, folder, "127.0.0.1", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    try:
        for _ in range(1200):
            assert server.poll() is None, server.stderr.read()
            with socket.socket() as asked:
                if asked.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        yield f"milvus://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.communicate()
        shutil.rmtree(folder, ignore_errors=True)
