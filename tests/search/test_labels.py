"""Labels and questions from files: whatever program wrote them, read alike."""

from io import BytesIO
from pathlib import Path

import pytest

from indexer.errors import QueryError
from search.labels import read_labels

LABELS = ["Hund", "Mädchen im Kleid", "# not a comment"]


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "cp1252"])
def test_labels_of_any_program_are_read(encoding: str, newline: str, tmp_path: Path) -> None:
    path = tmp_path / "labels.txt"
    path.write_bytes(newline.join(["", *LABELS[:2], " ", LABELS[2]]).encode(encoding))
    assert read_labels(path) == [(2, LABELS[0]), (3, LABELS[1]), (5, LABELS[2])]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "are empty"),
        (b"\xef\xbb\xbf \n", "are empty"),
        (b"a\0b", "zero bytes"),
        (b"a\n" + b"x" * (1 << 21), "line 2"),
    ],
)
def test_labels_that_cannot_be_read_say_why(content: bytes, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "labels.txt"
    path.write_bytes(content)
    with pytest.raises(QueryError, match=reason):
        read_labels(path)
    with pytest.raises(QueryError, match="no such file"):
        read_labels(tmp_path / "gone.txt")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "cp1252"])
def test_questions_of_any_program_are_read(encoding: str) -> None:
    from search.commands.search import _queries

    class Named(BytesIO):
        name = "questions.txt"

    file = Named("ein Mädchen\r\n\r\nein Hund".encode(encoding))
    asked = list(_queries(file, list))  # type: ignore[arg-type]
    assert asked == [("questions.txt, line 1: ", ["ein Mädchen"]), ("questions.txt, line 3: ", ["ein Hund"])]
