"""What docs/serve.md shows runs as it stands."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from painting import paint

PAGE = Path(__file__).parents[3] / "docs" / "serve.md"
EXAMPLES = re.findall(r"^curl .*$", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_examples_of_the_page_are_answered(example: str, address: str, tmp_path: Path) -> None:
    if shutil.which("curl") is None:
        pytest.skip("curl is not here")
    paint(tmp_path / "my-cat.jpg", "red")
    # `--json` is newer than some curls
    plain = example.replace("--json", "-H 'Content-Type: application/json' -d").replace("localhost:7700/", address)
    plain = plain.replace("-people", "-red")  # the library is one of colours
    command = f"{plain} -w '%{{stderr}}%{{http_code}}'"
    done = subprocess.run(["bash", "-c", command], cwd=tmp_path, capture_output=True, check=False)
    assert done.stderr == b"200", done.stdout


def test_the_page_names_every_kind_of_question() -> None:
    assert len(EXAMPLES) > 12
