"""What the wheel carries of the page is what the sources make, and stays small."""

from __future__ import annotations

import gzip
import re
import shutil
import subprocess
from pathlib import Path

import pytest

WEB = Path(__file__).parents[3] / "web"
STATIC = Path(__file__).parents[3] / "search" / "web" / "static"

# Bytes, compressed, of all that the page needs before a photo is opened.
AT_MOST = 60_000


def test_the_bundle_is_what_the_sources_make() -> None:
    node = shutil.which("node")
    if node is None or not (WEB / "node_modules").is_dir():
        pytest.skip("node or its packages are not here: npm ci in web/")
    done = subprocess.run([node, "build.js", "--check"], cwd=WEB, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_page_is_light_and_brings_its_licences() -> None:
    loaded = re.findall(r'(?:src|href)="([^"]+)"', (STATIC / "index.html").read_text(encoding="utf-8"))
    first = [STATIC / name for name in ["index.html", *loaded]]
    assert sum(len(gzip.compress(path.read_bytes(), 9)) for path in first) < AT_MOST
    licences = (STATIC / "licences.txt").read_text(encoding="utf-8")
    assert all(f"\n{name} " in licences for name in ("preact", "htm", "photoswipe", "@preact/signals"))


def test_the_page_asks_nobody_but_its_server() -> None:
    links = r"https?://(?!www\.w3\.org|www\.openstreetmap\.org/\?mlat)[\w.-]+"
    strange = {path.name: re.findall(links, path.read_text("utf-8")) for path in STATIC.glob("*[!t]") if path.is_file()}
    assert not {name: found for name, found in strange.items() if found and name != "licences.txt"}
