"""No engine builds the image where this is tested: the files are read as one would, their commands run without one."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from make_photos import with_exif
from postgres_server import running_server

ROOT = Path(__file__).parent.parent
DESCRY = (sys.executable, "-m", "descry")


@pytest.fixture(scope="module")
def steps() -> list[dict[str, Any]]:
    parser = pytest.importorskip("dockerfile_parse", reason="dockerfile-parse is not installed: pip install .[dev]")
    with BytesIO((ROOT / "Containerfile").read_bytes()) as file:
        parsed: list[dict[str, Any]] = parser.DockerfileParser(fileobj=file).structure
    return parsed


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    yaml = pytest.importorskip("yaml", reason="PyYAML is not installed: pip install .[dev]")
    read: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
    return read


def values(steps: list[dict[str, Any]], instruction: str) -> list[str]:
    return [step["value"] for step in steps if step["instruction"] == instruction]


def test_stages_for_both_kinds_of_machines_run_as_nobody_in_particular(steps: list[dict[str, Any]]) -> None:
    stages = [value.split(" AS ")[1] for value in values(steps, "FROM")]
    assert stages == ["wheel", "base", "cuda", "cpu"]
    assert values(steps, "USER") == ["10001", "10001"]
    assert steps[-1]["instruction"] == "USER"


def test_all_that_is_copied_is_there_and_not_ignored(steps: list[dict[str, Any]]) -> None:
    ignored = (ROOT / ".dockerignore").read_text().split()
    for value in values(steps, "COPY"):
        for source in value.split()[:-1]:
            assert (ROOT / source).exists() and f"!{source}" in ignored


def test_hadolint_has_nothing_to_say() -> None:
    program = shutil.which("hadolint", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if program is None:
        pytest.skip("hadolint is not installed")
    # versions are pinned by nobody: each build takes what is newest and mended
    done = subprocess.run(
        [program, "--ignore", "DL3013", ROOT / "Containerfile"], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_services_write_nowhere_but_to_volumes(compose: dict[str, Any], steps: list[dict[str, Any]]) -> None:
    assert list(compose["services"]) == ["database", "server", "indexer"]
    stages = [value.split(" AS ")[1] for value in values(steps, "FROM")]
    for name, service in compose["services"].items():
        assert service["read_only"] and "/tmp" in service["tmpfs"]
        assert {volume.rpartition("}")[2].split(":")[0] for volume in service["volumes"]} <= {"", *compose["volumes"]}
        if name != "database":
            assert service["user"] == "10001" and service["cap_drop"] == ["ALL"]
            assert service["build"]["target"] in stages and (ROOT / service["build"]["dockerfile"]).is_file()


def test_no_secret_stands_in_the_files(compose: dict[str, Any]) -> None:
    for service in compose["services"].values():
        for name, value in service["environment"].items():
            assert not name.endswith(("PASSWORD", "TOKEN")) or value.startswith("${")


def test_the_commands_index_and_serve_and_the_health_check_tells(
    compose: dict[str, Any], steps: list[dict[str, Any]], tmp_path: Path
) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    with_exif(photos / "a.jpg", camera="D750")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    with running_server() as server:
        settings = {"DESCRY_LIBRARY": server.database(), "PGPASSWORD": "secret", "DESCRY_TOKEN": "words"}
        settings |= {"XDG_CACHE_HOME": str(tmp_path / "cache")}
        assert settings.keys() >= compose["services"]["server"]["environment"].keys()
        environment = os.environ | settings

        def command(name: str) -> list[str]:
            words = compose["services"][name]["command"]
            return [*DESCRY, *(str(photos) if word == "/photos" else word for word in words)]

        def run(words: list[str]) -> subprocess.CompletedProcess[str]:
            return subprocess.run(words, env=environment, capture_output=True, text=True, timeout=120, cwd=ROOT)

        indexed = run(command("indexer"))
        assert indexed.returncode == 0, indexed.stderr
        assert values(steps, "CMD") == [json.dumps(compose["services"]["server"]["command"])]
        serving = [*command("server"), "--port", port]
        (check,) = values(steps, "HEALTHCHECK")
        health = [sys.executable, *json.loads(check.partition(" CMD ")[2].replace("7700", port))[1:]]
        with subprocess.Popen(serving, env=environment, stderr=subprocess.PIPE, text=True, cwd=ROOT) as process:
            try:
                until = time.monotonic() + 60
                while (checked := run(health)).returncode and time.monotonic() < until:
                    time.sleep(0.3)
                assert checked.returncode == 0, checked.stderr
                with pytest.raises(HTTPError, match="401"):
                    urlopen(f"http://127.0.0.1:{port}/api/status", timeout=5)
            finally:
                process.terminate()
            process.wait(30)
            assert run(health).returncode != 0
            assert process.stderr is not None
            assert "secret" not in process.stderr.read()
