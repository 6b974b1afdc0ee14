"""Texts: passages that fit and lose nothing, captions of every form, broken ones named by their line."""

import json
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from painting import paint

from indexer.errors import SourceError
from indexer.items import Item
from indexer.modalities import MODALITIES, modality_of
from indexer.modalities.base import ReadOptions
from indexer.modalities.text import READERS, TEXT, passages


def five_words(piece: str) -> bool:
    return len(piece.split()) <= 5


def read(path: Path, fits: Callable[[Any], bool] = five_words) -> list[Item]:
    items = []
    for item, value in TEXT.read(path, ReadOptions(fits)):
        assert value == item.text
        assert (item.modality, item.path) == ("text", path)
        items.append(item)
    return items


def notes(path: Path) -> list[str]:
    """What is said to be amiss with a file that is read."""
    said: list[str] = []
    list(TEXT.read(path, ReadOptions(five_words, note=said.append)))
    return said


def texts(path: Path) -> list[str]:
    return [item.text for item in read(path)]


def captions(path: Path) -> list[tuple[str, str, str | None]]:
    return [(item.part, item.text, item.facts.get("photo")) for item in read(path)]


def wrote(path: Path, content: str | bytes, encoding: str = "utf-8") -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode(encoding))
    return path


PROSE = {
    "paragraphs": "One two.\n\nThree four.\n \n\nFive.",
    "long paragraph": "One two three. Four five six! Seven eight? Nine… Ten eleven twelve thirteen. End",
    "long sentence": " ".join(f"word{number}" for number in range(23)) + ".",
    "one long word": "x" * 1000,
    "other scripts": "这是一个句子。 这是第二个句子。 " * 10,
    "odd white space": "a\tb\u00a0c\r\nd\u2003e f g\fh",
    "nothing": " \n\n \t\n",
}


@pytest.mark.parametrize("name", PROSE)
def test_passages_fit_and_nothing_is_lost(name: str) -> None:
    pieces = list(passages(PROSE[name], five_words))
    assert " ".join(pieces).split() == PROSE[name].split()
    assert all(five_words(piece) for piece in pieces)


def test_a_passage_ends_with_its_sentence_where_it_can() -> None:
    assert list(passages(PROSE["long paragraph"], five_words)) == [
        "One two three.",
        "Four five six! Seven eight?",
        "Nine… Ten eleven twelve thirteen.",
        "End",
    ]


def test_full_width_marks_end_a_sentence_without_a_blank_behind_them() -> None:
    sentences = ["今日は晴れです。", "「犬がいる！」", "猫もいる？そう。"]  # noqa: RUF001
    assert list(passages("".join(sentences), lambda piece: len(piece) <= 9)) == sentences


def test_a_word_that_does_not_fit_is_cut_and_nothing_is_lost() -> None:
    pieces = list(passages("这是一个很长的句子没有标点" * 7, lambda piece: len(piece) <= 10))
    assert "".join(pieces) == "这是一个很长的句子没有标点" * 7
    assert all(5 <= len(piece) <= 10 for piece in pieces)


def test_as_many_sentences_stand_together_as_fit() -> None:
    sentences = [f"{'word ' * (number % 4)}end." for number in range(200)]
    pieces = list(passages(" ".join(sentences), lambda piece: len(piece.split()) <= 11))
    lengths = [len(piece.split()) for piece in pieces]
    starts = [len(piece.partition(".")[0].split()) for piece in pieces]
    assert all(length + start > 11 for length, start in zip(lengths, starts[1:], strict=False))


@pytest.mark.parametrize("size", [1 << 12, 1 << 14, 1 << 16])
@pytest.mark.parametrize(
    "unit", ["\n", " \n", "a ", "a. ", "a", "。", "\x01 ", "*a ", "[", "> ", "- a\n", "<", "`", "|a"]
)
@pytest.mark.parametrize("suffix", [".txt", ".md"])
def test_the_work_is_in_step_with_the_text(suffix: str, unit: str, size: int, tmp_path: Path) -> None:
    asked = 0

    def fits(piece: str) -> bool:
        nonlocal asked
        asked += len(piece)
        return len(piece) <= 200

    path = wrote(tmp_path / f"a{suffix}", unit * (size // len(unit)))
    seen = sum(len(item.text) for item in read(path, fits))
    assert seen <= size
    assert asked <= 20 * size + 50_000


@pytest.mark.timeout(60)
@pytest.mark.parametrize("unit", ["\n", "*a ", "[a](", "![", "**a*", "<a ", "> > ", "- ", "[a]: b\n", "&a", "# a\n"])
def test_markdown_of_marks_alone_takes_no_minutes(unit: str, tmp_path: Path) -> None:
    read(wrote(tmp_path / "a.md", unit * 40_000), lambda piece: len(piece) <= 200)


def test_a_text_beyond_all_bounds_is_refused_with_a_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("indexer.texts.LARGEST_TEXT", 1 << 20)
    for suffix in (".txt", ".md"):
        with pytest.raises(SourceError, match="a text of more than 1 MB is not read: split it"):
            read(wrote(tmp_path / f"a{suffix}", "word " * (1 << 18)))


def test_prose_is_numbered_by_passage(tmp_path: Path) -> None:
    items = read(wrote(tmp_path / "a.txt", "One.\n\nTwo."))
    assert [(item.part, item.text, item.facts) for item in items] == [("p1", "One.", {}), ("p2", "Two.", {})]


def test_of_a_long_document_the_rest_is_read_as_plain_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("indexer.modalities.text.LARGEST_MARKDOWN", 40)
    path = tmp_path / "long.md"
    path.write_text("# One\n\nTwo *three* [four](five).\n\nSix *seven*.\n\n# Eight\n")
    assert texts(path) == ["One", "Two three four.", "Six *seven*.", "# Eight"]


def test_markdown_is_read_without_its_marks(tmp_path: Path) -> None:
    text = (
        "# A *title*\nFirst [a link](http://x.y) ends.\n\n```python\ncode = 1\n```\n"
        "- one **bold**\n- ![an image](a.png)\n\n> said `he`\n\n1. first\n"
    )
    assert texts(wrote(tmp_path / "a.md", text)) == [
        "A title",
        "First a link ends.",
        "one bold",
        "an image",
        "said he",
        "first",
    ]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32", "cp1252", "latin-1"])
@pytest.mark.parametrize("suffix", [".txt", ".md", ".jsonl", ".csv", ".tsv", ".json"])
def test_every_kind_is_read_in_every_common_encoding(suffix: str, encoding: str, tmp_path: Path) -> None:
    caption = "Café am Flußufer"
    content = {
        ".jsonl": f'{{"caption": "{caption}"}}\n',
        ".csv": f"caption\n{caption}\n",
        ".tsv": f"caption\tfile\n{caption}\tx\n",
        ".json": f'{{"images": [], "annotations": [{{"image_id": 1, "caption": "{caption}"}}]}}',
    }.get(suffix, caption)
    mark = b"\xff\xfe" if encoding == "utf-16-le" else b""
    assert texts(wrote(tmp_path / f"a{suffix}", mark + content.encode(encoding))) == [caption]


def test_a_letter_on_the_seam_of_two_blocks_is_read_whole(tmp_path: Path) -> None:
    text = "x" * (2**20 - 1) + "é and more"
    assert "".join(texts(wrote(tmp_path / "a.txt", text))).replace(" ", "") == text.replace(" ", "")


def test_one_damaged_byte_costs_one_letter(tmp_path: Path) -> None:
    path = wrote(tmp_path / "a.txt", "Käse, Brot, Äpfel\n\nund ".encode() + b"Caf\xe9 " + "Öl".encode())
    assert texts(path) == ["Käse, Brot, Äpfel", "und Café Öl"]


@pytest.mark.parametrize("suffix", READERS)
def test_zero_bytes_are_no_text(suffix: str, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="it is not text: it holds zero bytes"):
        read(wrote(tmp_path / f"a{suffix}", b"some\0bytes"))


@pytest.mark.parametrize("suffix", [".txt", ".md", ".jsonl", ".csv", ".tsv"])
@pytest.mark.parametrize("content", ["", "\n \n", "\ufeff"])
def test_an_empty_text_holds_nothing(suffix: str, content: str, tmp_path: Path) -> None:
    assert read(wrote(tmp_path / f"a{suffix}", content)) == []


@pytest.mark.parametrize("photo", ["a.jpg", "a.JPG", "a.Jpg", "a.heic", "a.WEBP"])
def test_a_text_beside_a_photo_is_its_captions_a_line_each(photo: str, tmp_path: Path) -> None:
    (tmp_path / photo).touch()
    paint(tmp_path / "other.png")
    path = wrote(tmp_path / "a.txt", "A red one with more words than fit.\r\n\r\n  Another   line \n")
    assert captions(path) == [
        ("c1", "A red one with more words than fit.", photo),
        ("c2", "Another line", photo),
    ]


def test_a_text_finds_its_photo_in_another_case_or_form_of_unicode(tmp_path: Path) -> None:
    for text, photo in (("Meer.txt", "MEER.JPG"), (unicodedata.normalize("NFC", "Fluß é.txt"), "Fluß e\u0301.jpg")):
        paint(tmp_path / photo)
        assert captions(wrote(tmp_path / text, "The sea")) == [("c1", "The sea", photo)]


def test_json_lines_of_many_forms(tmp_path: Path) -> None:
    lines = [
        {"image": "a.jpg", "caption": "one"},
        {"file_name": "b/c.jpg", "captions": ["two", "  three ", ""]},
        {"text": "four"},
        {"url": "x", "unknown": "not a caption"},
        "five",
        ["six", "seven"],
        {"photo": 7, "sentence": "eight", "caption": None},
        {"caption": {"raw": "not text"}},
        17,
        None,
    ]
    content = "\n\n".join(json.dumps(line) for line in lines)
    assert captions(wrote(tmp_path / "a.jsonl", content)) == [
        ("c1", "one", "a.jpg"),
        ("c2", "two", "b/c.jpg"),
        ("c3", "three", "b/c.jpg"),
        ("c4", "four", None),
        ("c5", "five", None),
        ("c6", "six", None),
        ("c7", "seven", None),
        ("c8", "eight", "7"),
    ]


NO_TEXT = ("null", "NaN", "17", "1e999", "true", "[]", "{}", '""', '" "', "[null]", '[["x"]]', '[{"raw": "x"}]')


@pytest.mark.parametrize("value", NO_TEXT)
def test_what_is_no_text_is_no_caption_in_any_layout(value: str, tmp_path: Path) -> None:
    coco = (
        '{"images": [{"id": 1, "file_name": "a.jpg"}], "annotations": [{"image_id": 1, "caption": "one"}, '
        '{"image_id": 1, "caption": %s}, {"image_id": 1, "caption": "two"}]}'
    )
    layouts = {
        "coco.json": coco,
        "lines.jsonl": '{"image": "a.jpg", "caption": "one"}\n{"image": "a.jpg", "caption": %s}\n{"caption": "two"}',
        "list.json": '[{"image": "a.jpg", "caption": ["one", %s]}, {"image": "a.jpg", "caption": "two"}]',
        "karpathy.json": '{"images": [{"filename": "a", "sentences": [{"raw": "one"}, {"raw": %s}, {"raw": "two"}]}]}',
        "genome.json": '[{"id": 1, "regions": [{"phrase": "one"}, {"phrase": %s}, {"phrase": "two"}]}]',
    }
    for name, layout in layouts.items():
        path = wrote(tmp_path / name, layout % value)
        assert texts(path) == ["one", "two"], name
        assert "an empty caption, or one that is no text" in notes(path)[0], name


def test_a_photo_that_is_no_name_is_no_link(tmp_path: Path) -> None:
    for value in ("null", "NaN", "true", "[]", "{}", '""', '["a.jpg"]'):
        path = wrote(tmp_path / "a.jsonl", f'{{"image": {value}, "caption": "one"}}')
        assert captions(path) == [("c1", "one", None)]
        coco = (
            f'{{"images": [{{"id": 1, "file_name": {value}}}], "annotations": [{{"image_id": 1, "caption": "one"}}]}}'
        )
        assert captions(wrote(tmp_path / "a.json", coco)) == [("c1", "one", None)]
    path = wrote(tmp_path / "a.jsonl", '{"image": {"bytes": null, "path": "b/a.jpg"}, "caption": "one"}')
    assert captions(path) == [("c1", "one", "b/a.jpg")]


@pytest.mark.parametrize("line", ['{"caption": "cut', "{}}", "9" * 5000, "[" * 100_000, "nothing", "x" * (1 << 21)])
def test_a_line_that_is_not_json_is_named_by_its_number_and_costs_itself(line: str, tmp_path: Path) -> None:
    path = wrote(tmp_path / "a.jsonl", f'{{"caption": "one"}}\n\n{line}\n{{"caption": "two"}}\n')
    assert texts(path) == ["one", "two"]
    assert notes(path)[0].startswith(("passed over line 3: not JSON (", "passed over line 3: longer than 1 MB"))


def test_of_many_broken_lines_the_first_are_named_and_all_are_counted(tmp_path: Path) -> None:
    path = wrote(tmp_path / "a.jsonl", "{\n" * 10 + '"one"\n' + "{\n" * 10)
    assert texts(path) == ["one"]
    assert notes(path)[0].endswith("; and 17 more")
    with pytest.raises(SourceError, match=r"line 1: not JSON .*; and 7 more"):
        read(wrote(tmp_path / "a.jsonl", "{\n" * 10))


def test_half_a_surrogate_pair_does_not_stop_anything(tmp_path: Path) -> None:
    path = wrote(tmp_path / "a.jsonl", '{"caption": "bad \\ud800 one", "image": "\\udcff.jpg"}')
    assert captions(path) == [("c1", "bad ? one", "?.jpg")]


def test_tables_of_many_forms(tmp_path: Path) -> None:
    comma = wrote(tmp_path / "a.csv", 'Image, Caption \n"a, b.jpg","one, ""two"""\n\nc.jpg,"on\ntwo lines"\nd.jpg\n')
    assert captions(comma) == [("c1", 'one, "two"', "a, b.jpg"), ("c2", "on two lines", "c.jpg")]
    assert notes(comma) == ["passed over line 6: an empty caption, or one that is no text"]
    tab = wrote(tmp_path / "a.tsv", "filepath\ttitle\textra\nx.jpg\tone\t1\n\ttwo\t\n")
    assert captions(tab) == [("c1", "one", "x.jpg"), ("c2", "two", None)]


def test_a_caption_of_a_megabyte_is_read(tmp_path: Path) -> None:
    assert texts(wrote(tmp_path / "a.csv", "caption\n" + "x" * 1_000_000)) == ["x" * 1_000_000]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("camera.csv", "filename,camera\na.jpg,Canon EOS 5D\nb.jpg,Canon EOS 5D\n"),
        ("settings.json", '{"editor": {"tab": 4}}'),
        ("list.json", "[1, 2, 3]"),
        ("annotations.json", '{"annotations": [1]}'),
        ("log.jsonl", '{"level": "info"}\n{"level": "error"}\n'),
    ],
)
def test_tables_and_json_about_other_things_hold_no_captions(name: str, content: str, tmp_path: Path) -> None:
    assert read(wrote(tmp_path / name, content)) == []


@pytest.mark.parametrize("content", ["date,amount\n2024-01-01,12\n", "date;amount\n1;2\n", "date\tamount\n"])
def test_a_table_without_a_column_of_captions_says_so(content: str, tmp_path: Path) -> None:
    path = wrote(tmp_path / "money.csv", content)
    assert read(path) == []
    assert notes(path) == [
        "no column of captions among 'date', 'amount': call it caption, and that of the photos image"
    ]


def test_coco_captions_are_linked_to_their_photos(tmp_path: Path) -> None:
    document = {
        "images": [{"id": 1, "file_name": "a.jpg"}, {"id": 2, "file_name": "b.jpg"}],
        "annotations": [
            {"id": 7, "image_id": 2, "caption": "of b"},
            {"id": 8, "image_id": 1, "caption": "of a\n"},
            {"id": 9, "image_id": 3, "caption": "of none"},
            {"id": 10, "image_id": 1, "bbox": [1, 2, 3, 4]},
        ],
    }
    path = wrote(tmp_path / "captions.json", json.dumps(document))
    assert captions(path) == [("c1", "of b", "b.jpg"), ("c2", "of a", "a.jpg"), ("c3", "of none", None)]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("{", "it is not JSON"),
        ("", "it is not JSON"),
        ("9" * 5000, "it is not JSON"),
    ],
)
def test_json_that_is_broken_says_how(content: str, reason: str, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=reason):
        read(wrote(tmp_path / "a.json", content))


def test_a_file_that_is_gone_is_a_source_error(tmp_path: Path) -> None:
    for suffix in READERS:
        with pytest.raises(SourceError, match="no such file"):
            read(tmp_path / f"none{suffix}")


def test_the_modality_of_a_file_is_told_by_its_suffix() -> None:
    assert modality_of("a.b.JpEg") is MODALITIES["image"]
    assert modality_of("a.TXT") is MODALITIES["text"]
    for name in ("jpg", "a.exe", "a.jpg.part", "a.", ""):
        assert modality_of(name) is None
