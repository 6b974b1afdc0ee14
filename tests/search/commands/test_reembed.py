"""`descry reembed` as a user meets it: after an update whose encoder has other weights."""

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

PHOTOS = Path(__file__).parents[3] / "data" / "photos"


def descry(library: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "search", "--library", str(library), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_library_of_older_weights_names_the_remedy_and_the_remedy_works(tmp_path: Path) -> None:
    library = tmp_path / "library"
    assert descry(library, "index", PHOTOS).returncode == 0
    before = descry(library, "search", "a cup of coffee").stdout
    with closing(sqlite3.connect(library / "catalog.sqlite3")) as catalog, catalog:
        catalog.execute("UPDATE meta SET value = 'of last year' WHERE key = 'checksum'")
    vectors = library / "catalog.1.vectors"
    vectors.write_bytes(bytes(vectors.stat().st_size))

    refused = descry(library, "search", "a cup of coffee")
    assert refused.returncode == 2
    assert "a better one came with this version: `descry reembed`" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1

    done = descry(library, "reembed")
    assert done.returncode == 0, done.stderr
    assert " items embedded anew by embedded" in done.stdout
    assert descry(library, "search", "a cup of coffee").stdout == before
