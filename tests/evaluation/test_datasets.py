"""Data sets: each format from a small file of its kind, whole and broken, recognised by its path; what is held out."""

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from evaluation.datasets import READERS, DataError, Example, held_out, read_captioned, read_captioned_tar


def photo(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 6), "red").save(path)
    return path


def written(path: Path, content: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def flickr8k(folder: Path) -> Path:
    photo(folder / "Flicker8k_Dataset" / "a.jpg")
    photo(folder / "Flicker8k_Dataset" / "b.jpg")
    written(folder / "Flickr_8k.trainImages.txt", "a.jpg\n")
    written(folder / "Flickr_8k.devImages.txt", "b.jpg\n")
    return written(folder / "Flickr8k.token.txt", "a.jpg#0\tone\na.jpg#1\ttwo\nb.jpg#0\tthree\n")


def kaggle(folder: Path) -> Path:
    photo(folder / "Images" / "a.jpg")
    photo(folder / "Images" / "b.jpg")
    return written(folder / "captions.txt", "image,caption\na.jpg,one\na.jpg,two\nb.jpg,three\n")


def flickr30k(folder: Path) -> Path:
    photo(folder / "flickr30k_images" / "a.jpg")
    photo(folder / "flickr30k_images" / "b.jpg")
    rows = "a.jpg| 0| one\na.jpg| 1| two\nb.jpg| 0| three\n"
    return written(folder / "results.csv", f"image_name| comment_number| comment\n{rows}")


def karpathy(folder: Path) -> Path:
    photo(folder / "images" / "val2014" / "a.jpg")
    photo(folder / "images" / "b.jpg")
    first = {
        "filename": "a.jpg",
        "filepath": "val2014",
        "split": "restval",
        "sentences": [{"raw": "one"}, {"raw": "two"}],
    }
    second = {"filename": "b.jpg", "split": "val", "sentences": [{"raw": "three"}]}
    return written(folder / "dataset_coco.json", {"images": [first, second], "dataset": "coco"})


def coco(folder: Path) -> Path:
    photo(folder / "val2017" / "a.jpg")
    photo(folder / "val2017" / "b.jpg")
    images = [{"id": 7, "file_name": "a.jpg"}, {"id": 9, "file_name": "b.jpg"}, {"id": 11, "file_name": "c.jpg"}]
    said = [{"image_id": 7, "caption": "one"}, {"image_id": 9, "caption": "three"}, {"image_id": 7, "caption": "two"}]
    return written(folder / "annotations" / "captions_val2017.json", {"images": images, "annotations": said})


def visual_genome(folder: Path) -> Path:
    photo(folder / "VG_100K" / "1.jpg")
    photo(folder / "VG_100K_2" / "2.jpg")
    regions = [{"phrase": "one"}, {"phrase": "two"}, {"phrase": "one"}]
    rows = [{"id": 1, "regions": regions}, {"id": 2, "regions": [{"phrase": "three"}]}]
    return written(folder / "region_descriptions.json", rows)


def conceptual_captions(folder: Path) -> Path:
    photo(folder / "images" / "00000" / "000000000.jpg")
    photo(folder / "images" / "000000002.jpg")
    lines = [("one", "http://a/0"), ("two", "http://a/gone"), ("three", "http://a/2")]
    return written(folder / "Validation.tsv", "".join(f"{caption}\t{address}\n" for caption, address in lines))


def text_beside(folder: Path) -> Path:
    photo(folder / "photos" / "a.jpg")
    photo(folder / "photos" / "below" / "b.png")
    photo(folder / "photos" / "bare.jpg")
    written(folder / "photos" / "a.txt", "one\n\ntwo\n")
    written(folder / "photos" / "below" / "b.txt", "three")
    return folder / "photos"


def captions_jsonl(folder: Path) -> Path:
    photo(folder / "a.jpg")
    photo(folder / "b.jpg")
    rows = [{"image": "a.jpg", "captions": ["one", "two"], "split": "train"}, {"image": "b.jpg", "caption": "three"}]
    return written(folder / "captions.jsonl", "\n".join(map(json.dumps, rows)))


def shard(path: Path, texts: dict[str, str | None]) -> Path:
    with tarfile.open(path, "w") as tar:
        for stem, text in texts.items():
            buffer = io.BytesIO()
            Image.new("RGB", (8, 6), "red").save(buffer, "JPEG")
            members = {"jpg": buffer.getvalue()} | ({} if text is None else {"txt": text.encode()})
            for suffix, content in members.items():
                info = tarfile.TarInfo(f"{stem}.{suffix}")
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    return path


def captioned_tar(folder: Path) -> Path:
    return shard(folder / "000.tar", {"./000": "one\ntwo", "./001": "three"})


SETS: dict[str, tuple[Callable[[Path], Path], list[str]]] = {
    "flickr8k": (flickr8k, ["train", "val"]),
    "karpathy": (karpathy, ["train", "val"]),
    "coco": (coco, ["val", "val"]),
    "visual_genome": (visual_genome, ["", ""]),
    "text_beside": (text_beside, ["", ""]),
    "captions_jsonl": (captions_jsonl, ["train", ""]),
    "flickr8k of Kaggle": (kaggle, ["", ""]),
    "flickr30k": (flickr30k, ["", ""]),
    "captioned_tar": (captioned_tar, ["", ""]),
}


def said(examples: list[Example]) -> list[tuple[str, ...]]:
    assert all(example.image().size == (8, 6) for example in examples)
    return [example.captions for example in examples]


@pytest.mark.parametrize("name", SETS)
def test_a_set_of_each_format_is_recognised_and_read(tmp_path, name):
    make, splits = SETS[name]
    path = make(tmp_path)
    assert said(read_captioned(path)) == [("one", "two"), ("three",)]
    assert [example.split for example in read_captioned(path)] == splits
    if name in READERS:
        assert READERS[name](path) == read_captioned(path)


def test_every_reader_is_tested_here():
    assert set(READERS) <= {*SETS, "conceptual_captions", "labelled_tar"}


def test_conceptual_captions_leave_out_what_could_not_be_downloaded(tmp_path):
    path = conceptual_captions(tmp_path)
    assert said(read_captioned(path)) == [("one",), ("three",)]
    assert READERS["conceptual_captions"](path)[1].where == f"{path}:3"


def test_conceptual_captions_may_name_their_files(tmp_path):
    photo(tmp_path / "first.png")
    path = written(tmp_path / "mine.tsv", "one\thttp://a\tfirst.png\ntwo\thttp://b\tgone.png\n")
    assert said(read_captioned(path)) == [("one",)]


@pytest.mark.parametrize("make", [flickr8k, captions_jsonl])
def test_a_folder_stands_for_the_index_in_it(tmp_path, make):
    assert said(read_captioned(make(tmp_path).parent)) == [("one", "two"), ("three",)]


def test_labels_come_from_a_shard(tmp_path):
    labelled = READERS["labelled_tar"](shard(tmp_path / "a.tar", {"000": "cat\n", "001": "dog"}))
    assert [example.label for example in labelled] == ["cat", "dog"]


@pytest.mark.parametrize(
    ("make", "lost", "message"),
    [
        (
            flickr8k,
            "Flicker8k_Dataset/b.jpg",
            r"token\.txt:3: the photo .*Flicker8k_Dataset/b\.jpg is missing; download",
        ),
        (karpathy, "images/b.jpg", r"dataset_coco\.json:images\[1\]: the photo .*images/b\.jpg is missing"),
        (coco, "val2017/b.jpg", r"captions_val2017\.json:annotations\[1\]: the photo .*val2017/b\.jpg is missing"),
        (visual_genome, "VG_100K_2/2.jpg", r"region_descriptions\.json:\[1\]: the photo .*2\.jpg is missing"),
        (captions_jsonl, "b.jpg", r"captions\.jsonl:2: the photo .*b\.jpg is missing"),
    ],
)
def test_a_photo_that_is_missing_is_named_with_its_place(tmp_path, make, lost, message):
    path = make(tmp_path)
    (tmp_path / lost).unlink()
    with pytest.raises(DataError, match=message):
        read_captioned(path)


@pytest.mark.parametrize(
    ("make", "place"),
    [
        (flickr8k, r"token\.txt:3: an empty caption"),
        (kaggle, r"captions\.txt:4: an empty caption"),
        (karpathy, r"images\[1\]: an empty caption"),
        (coco, r"annotations\[1\]: an empty caption"),
        (visual_genome, r"\[1\]: an empty caption"),
        (conceptual_captions, r"tsv:3: a caption, a tab and an address"),
        (text_beside, r"b\.txt:1: an empty caption"),
        (captions_jsonl, r"jsonl:2: an empty caption"),
        (captioned_tar, r"001: the photo has no caption"),
    ],
)
def test_an_empty_caption_is_named_with_its_place(tmp_path, make, place):
    path = make(tmp_path)
    if make is captioned_tar:
        shard(path, {"000": "one", "001": " "})
    else:
        file = path / "below" / "b.txt" if path.is_dir() else path
        file.write_text(file.read_text().replace("three", " "))
    with pytest.raises(DataError, match=place):
        read_captioned(path)


@pytest.mark.parametrize(
    ("texts", "message"),
    [({"000": "cat", "001": "cat"}, "fewer than two classes"), ({"000": "cat", "001": ""}, r"001: an empty label")],
)
def test_labels_that_tell_nothing_apart_are_refused(tmp_path, texts, message):
    with pytest.raises(DataError, match=message):
        READERS["labelled_tar"](shard(tmp_path / "a.tar", texts))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.json", '{"images": [', r"a\.json: cannot be read \(it is not JSON \(.*line 1"),
        ("a.json", '{"photos": 1}', r"a\.json: holds no captions of photos"),
        ("a.json", '{"images": []}', r"a\.json: holds no captions of photos"),
        ("a.json", '{"regions": 3}', r"a\.json: holds no captions of photos"),
        ("a.tar", "no tar at all" * 100, r"a\.tar: cannot be read as a tar"),
        ("a.jsonl", "", r"a\.jsonl: holds no captions of photos"),
        ("a.tsv", "one\thttp://a\n", "none of its photos is there; download them"),
        ("a.csv", "one", "no column of captions among 'one'"),
        ("a.pdf", "one", "none of the formats"),
    ],
)
def test_what_is_none_of_the_formats_is_refused_in_one_line(tmp_path, name, content, message):
    with pytest.raises(DataError, match=message) as refused:
        read_captioned(written(tmp_path / name, content))
    assert "\n" not in str(refused.value)


def test_a_folder_without_captions_and_a_path_that_is_not_there_are_refused(tmp_path):
    photo(tmp_path / "a.jpg")
    with pytest.raises(DataError, match=r"has a \.txt of the same name"):
        read_captioned(tmp_path)
    with pytest.raises(DataError, match="missing"):
        read_captioned(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"image": "b.jpg", "captions": ["x"]}, r"captions.jsonl:1: the photo .*b.jpg is missing"),
        ({"image": "a.jpg", "captions": ["x", " "]}, r"captions.jsonl:1: an empty caption"),
        ({"image": "a.jpg", "caption": None}, r"captions.jsonl:1: an empty caption"),
        ({"captions": ["x"]}, r"captions.jsonl:1: the photo is missing; .*'image'"),
        ([1], r"captions.jsonl:1: an empty caption"),
    ],
)
def test_what_is_wrong_with_a_line_is_said_with_file_and_line(tmp_path, row, message):
    photo(tmp_path / "a.jpg")
    with pytest.raises(DataError, match=message):
        read_captioned(written(tmp_path / "captions.jsonl", json.dumps(row)))


def test_photos_of_a_shard_may_go_without_captions(tmp_path):
    examples = read_captioned_tar(shard(tmp_path / "a.tar", {"000": "one\ntwo\n", "001": None}))
    assert [example.captions for example in examples] == [("one", "two"), ()]


def test_every_tenth_photo_is_held_out_by_its_place():
    kept, out = held_out(range(25))  # the rule looks at places only
    assert out == [0, 10, 20]
    assert len(kept) == 22
