"""The readers of data sets on small files, whole and broken."""

import io
import json
import tarfile
from pathlib import Path

import pytest
from PIL import Image

from evaluation.datasets import (
    DataError,
    held_out,
    read_captioned_tar,
    read_captions_jsonl,
    read_labelled_tar,
)


def jpeg() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 6), "red").save(buffer, "JPEG")
    return buffer.getvalue()


def write_tar(path: Path, texts: dict[str, str | None]) -> Path:
    """A WebDataset shard: stem -> the content of its `.txt`, None for none."""
    with tarfile.open(path, "w") as tar:
        for stem, text in texts.items():
            members = {"jpg": jpeg()} | ({"txt": text.encode()} if text is not None else {})
            for suffix, content in members.items():
                info = tarfile.TarInfo(f"{stem}.{suffix}")
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    return path


def write_jsonl(folder: Path, *rows: dict) -> Path:
    (folder / "a.jpg").write_bytes(jpeg())
    path = folder / "captions.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows))
    return path


def test_captions_come_with_their_photo_and_split(tmp_path):
    path = write_jsonl(tmp_path, {"image": "a.jpg", "captions": ["one", "two"], "split": "val"})
    (example,) = read_captions_jsonl(path)
    assert (example.captions, example.split) == (("one", "two"), "val")
    assert example.picture().size == (8, 6)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"image": "b.jpg", "captions": ["x"]}, r"captions.jsonl:1: the photo .*b.jpg is missing"),
        ({"image": "a.jpg", "captions": ["x", " "]}, r"captions.jsonl:1: an empty caption"),
        ({"captions": ["x"]}, r"captions.jsonl:1: the field 'image' is missing"),
        ([1], r"captions.jsonl:1: a JSON object was expected"),
    ],
)
def test_what_is_wrong_with_a_line_is_said_with_file_and_line(tmp_path, row, message):
    with pytest.raises(DataError, match=message):
        read_captions_jsonl(write_jsonl(tmp_path, row))


def test_labels_are_read_from_a_webdataset_shard(tmp_path):
    examples = read_labelled_tar(write_tar(tmp_path / "a.tar", {"000": "cat\n", "001": "dog"}))
    assert [example.label for example in examples] == ["cat", "dog"]
    assert examples[1].picture().size == (8, 6)


def test_one_class_is_nothing_to_tell_apart(tmp_path):
    with pytest.raises(DataError, match="fewer than two classes"):
        read_labelled_tar(write_tar(tmp_path / "a.tar", {"000": "cat", "001": "cat"}))


def test_photos_of_a_shard_may_go_without_captions(tmp_path):
    examples = read_captioned_tar(write_tar(tmp_path / "a.tar", {"000": "one\ntwo\n", "001": None}))
    assert [example.captions for example in examples] == [("one", "two"), ()]


def test_a_file_that_is_no_tar_is_named(tmp_path):
    (tmp_path / "a.tar").write_bytes(b"nothing of the kind" * 100)
    with pytest.raises(DataError, match=r"a\.tar: cannot be read as a tar"):
        read_captioned_tar(tmp_path / "a.tar")


def test_every_tenth_photo_is_held_out_by_its_place():
    kept, out = held_out(range(25))  # the rule looks at places only
    assert out == [0, 10, 20]
    assert len(kept) == 22
