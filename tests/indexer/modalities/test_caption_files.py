"""Captions of many layouts and dialects, and the photos that they name, however they spell them."""

import json
import unicodedata
from pathlib import Path

import pytest

from indexer.modalities.caption_files import PhotoFinder, is_table, read_captions

PHOTOS = ("a.jpg", "b.jpg")


def read(path: Path) -> list[tuple[str | None, tuple[str, ...]]]:
    return [(one.photo, one.captions) for one in read_captions(path, lambda *_: None)]


def problems(path: Path) -> list[tuple[str, str]]:
    said: list[tuple[str, str]] = []
    list(read_captions(path, lambda where, problem: said.append((where, problem))))
    return said


def wrote(path: Path, content: str, encoding: str = "utf-8") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode(encoding))
    return path


TABLES = {
    "comma": "image,caption\na.jpg,one dog\nb.jpg,two dogs\n",
    "semicolon": "image;caption\na.jpg;one dog\nb.jpg;two dogs\n",
    "tab": "image\tcaption\na.jpg\tone dog\nb.jpg\ttwo dogs\n",
    "pipe": "image_name| comment_number| comment\na.jpg| 0| one dog\nb.jpg| 0| two dogs\n",
    "quoted": '"image";"caption"\r\n"a.jpg";"one dog"\r\n"b.jpg";"two dogs"\r\n',
    "old Mac": "image,caption\ra.jpg,one dog\rb.jpg,two dogs\r",
    "told": "sep=;\nimage;caption\na.jpg;one dog\nb.jpg;two dogs\n",
    "capitals and blanks": " File Name , Caption \na.jpg,one dog\nb.jpg,two dogs\n",
    "turned": "caption,extra,image\none dog,1,a.jpg\ntwo dogs,2,b.jpg\n",
    "without a header": "a.jpg,one dog\nb.jpg,two dogs\n",
    "without a header, by tabs": "a.jpg#0\tone dog\nb.jpg#0\ttwo dogs\n",
    "of two languages": "image,caption_en,caption_de\na.jpg,one dog,ein Hund\nb.jpg,two dogs,zwei Hunde\n",
    "with titles": "image,title,description\na.jpg,A,one dog\nb.jpg,B,two dogs\n",
    "without a header, turned": "one dog;a.jpg\ntwo dogs;b.jpg\n",
    "without a header, with more": "a.jpg|0|one dog\nb.jpg|0|two dogs\n",
}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".txt"])
@pytest.mark.parametrize("name", TABLES)
def test_a_table_of_any_dialect_is_read(name: str, suffix: str, encoding: str, tmp_path: Path) -> None:
    path = wrote(tmp_path / f"captions{suffix}", TABLES[name], encoding)
    assert read(path) == [("a.jpg", ("one dog",)), ("b.jpg", ("two dogs",))]
    assert problems(path) == []


def test_a_header_in_another_language_is_told_by_what_stands_below(tmp_path: Path) -> None:
    path = wrote(tmp_path / "a.csv", "Bild;Jahr;Was man sieht\na.jpg;2020;Ein Hund läuft am Strand\n")
    assert read(path) == [("a.jpg", ("Ein Hund läuft am Strand",))]


def test_a_broken_row_does_not_hide_the_columns(tmp_path: Path) -> None:
    rows = "".join(f"{number}.jpg|0|a dog number {number}\n" for number in range(40))
    path = wrote(tmp_path / "a.csv", f"{rows}broken row\n{rows}")
    assert len(read(path)) == 80
    assert problems(path) == [(":41", "an empty caption, or one that is no text")]


@pytest.mark.parametrize("delimiter", ";,\t|")
def test_delimiters_within_captions_do_not_tell_the_dialect(delimiter: str, tmp_path: Path) -> None:
    said = "one, two; three | four"
    quoted = wrote(tmp_path / "a.csv", f'image{delimiter}caption\na.jpg{delimiter}"{said}"\n' * 1)
    assert read(quoted) == [("a.jpg", (said,))]
    bare = wrote(tmp_path / "b.csv", f"image{delimiter}caption\na.jpg{delimiter}{said}\n")
    assert read(bare) == [("a.jpg", (said,))]
    alone = wrote(tmp_path / "c.csv", f"caption\n{said}\n")
    assert read(alone) == [(None, (said,))]


def test_a_quote_that_is_not_closed_costs_its_line(tmp_path: Path) -> None:
    rows = "".join(f"{number}.jpg,caption {number}\n" for number in range(1000))
    path = wrote(tmp_path / "a.csv", f'image,caption\nx.jpg,"open\n{rows}')
    assert len(read(path)) == 1000
    assert problems(path) == [(":2", "a quote that is not closed")]
    last = wrote(tmp_path / "b.csv", 'image,caption\na.jpg,one\nb.jpg,"open')
    assert read(last) == [("a.jpg", ("one",))]


def test_a_quoted_cell_may_hold_lines_and_quotes(tmp_path: Path) -> None:
    path = wrote(tmp_path / "a.csv", 'image,caption\na.jpg,"one\n\n""two"""\nb.jpg,a 5" pipe\nc.jpg,"a" b\n')
    assert read(path) == [("a.jpg", ('one "two"',)), ("b.jpg", ('a 5" pipe',)), ("c.jpg", ("a b",))]


@pytest.mark.parametrize("count", [1000, 2000, 4000])
@pytest.mark.parametrize("line", ['a.jpg,"one\n', '"""\n', '"\n', ',"",",\n', '"a""\n'])
def test_quotes_that_mean_nothing_cost_a_bounded_number_of_looks(
    line: str, count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import csv

    looks = 0
    reader = csv.reader

    def counted(source, **options):
        def lines():
            nonlocal looks
            for line in source:
                looks += 1
                yield line

        return reader(lines(), **options)

    monkeypatch.setattr(csv, "reader", counted)
    read(wrote(tmp_path / "a.csv", "image,caption\n" + line * count))
    assert looks < 10 * count


def test_coco_may_name_its_photos_last(tmp_path: Path) -> None:
    document = {
        "annotations": [{"image_id": 1, "caption": "one"}, {"image_id": 2, "caption": "two"}],
        "images": [{"id": 1, "file_name": "a.jpg"}, {"id": 2, "file_name": "b.jpg"}],
    }
    assert read(wrote(tmp_path / "a.json", json.dumps(document))) == [("a.jpg", ("one",)), ("b.jpg", ("two",))]


def test_karpathys_splits_and_visual_genome_are_read(tmp_path: Path) -> None:
    karpathy = {
        "images": [
            {"filename": "a.jpg", "filepath": "val", "split": "test", "sentences": [{"raw": "one"}, {"raw": "two"}]},
            {"filename": "b.jpg", "sentences": [{"tokens": ["three", "dogs"]}]},
        ]
    }
    path = wrote(tmp_path / "a.json", json.dumps(karpathy))
    assert read(path) == [("val/a.jpg", ("one", "two")), ("b.jpg", ("three dogs",))]
    genome = [{"id": 7, "regions": [{"phrase": "one"}, {"phrase": "two"}, {"phrase": "one"}]}]
    assert read(wrote(tmp_path / "b.json", json.dumps(genome))) == [("7.jpg", ("one", "two"))]


@pytest.mark.parametrize(
    "document",
    [
        {"a.jpg": "one dog", "b.jpg": ["two dogs"]},
        {"a.jpg": {"caption": "one dog"}, "b.jpg": {"text": "two dogs", "width": 3}},
        {"captions": [{"image": "a.jpg", "caption": "one dog"}, {"image": "b.jpg", "caption": "two dogs"}]},
    ],
)
@pytest.mark.parametrize("is_strict", [True, False])
def test_a_document_may_be_by_photo_or_by_any_name(document: dict, is_strict: bool, tmp_path: Path) -> None:
    extra = {} if is_strict else {"version": float("nan")}  # what is no JSON is read by another parser
    path = wrote(tmp_path / "a.json", json.dumps({**document, **extra}))
    assert read(path) == [("a.jpg", ("one dog",)), ("b.jpg", ("two dogs",))]
    assert problems(path) == []


@pytest.mark.parametrize(
    "document", [{"https://x.y/a.jpg": {"title": "A"}}, {"bookmarks": [{"title": "A", "url": "b"}]}]
)
def test_other_documents_hold_no_captions(document: dict, tmp_path: Path) -> None:
    assert read(wrote(tmp_path / "a.json", json.dumps(document))) == []


def test_flickr8ks_odd_photo_is_one(tmp_path: Path) -> None:
    path = wrote(tmp_path / "Flickr8k.token.txt", "a.jpg#0\tone dog\nb.jpg.1#0\ttwo dogs\n")
    assert is_table(path)
    assert read(path) == [("a.jpg", ("one dog",)), ("b.jpg.1", ("two dogs",))]


def test_a_document_is_never_in_memory_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    long = json.dumps({"images": [{"id": 1, "rest": ["x" * 100] * 40_000}, {"id": 2, "file_name": "a.jpg"}]})
    rest = json.dumps({"annotations": [{"image_id": 2, "caption": "one"}]})
    path = wrote(tmp_path / "a.json", f"{long[:-1]}, {rest[1:]}")
    assert read(path) == [("a.jpg", ("one",))]
    assert problems(path)[0] == (":images[0]", "longer than 1 MB")
    monkeypatch.setattr("indexer.modalities.caption_files.LARGEST_TEXT", 1 << 20)
    with pytest.raises(Exception, match="it holds a text of more than 1 MB"):
        read(wrote(tmp_path / "b.json", json.dumps({"annotations": [{"caption": "word " * (1 << 20)}]})))


@pytest.mark.parametrize(
    "content", ["[" * 100_000, '{"a":' * 100_000, "[" + "[]," * 100_000 + "1]", "[1" + ",1" * 10**6]
)
def test_json_of_nothing_but_brackets_holds_no_captions(content: str, tmp_path: Path) -> None:
    assert read(wrote(tmp_path / "a.json", content)) == []


SPELLINGS = {
    "as it is": "Näher/Plain.jpg",
    "other case": "NÄHER/PLAIN.JPG",
    "decomposed": unicodedata.normalize("NFD", "Näher/Plain.jpg"),
    "backslashes": "Näher\\Plain.jpg",
    "with a dot": "./Näher/../Näher/Plain.jpg",
    "of another machine": "C:\\Users\\me\\photos\\Näher\\Plain.jpg",
    "of another disk": "/media/me/photos/Näher/Plain.jpg",
}


@pytest.mark.parametrize("stored", ["NFC", "NFD"])
@pytest.mark.parametrize("spelled", SPELLINGS)
def test_a_photo_is_found_however_its_name_is_spelled(spelled: str, stored: str, tmp_path: Path) -> None:
    name = unicodedata.normalize(stored, "Näher/Plain.jpg")
    (tmp_path / name).parent.mkdir()
    (tmp_path / name).touch()
    real = next((tmp_path / "N").parent.glob("*/*.jpg")).relative_to(tmp_path).as_posix()
    assert PhotoFinder(tmp_path / "captions.csv").relative(SPELLINGS[spelled]) == real


def test_the_exact_name_goes_before_a_like_one(tmp_path: Path) -> None:
    for name in ("a.jpg", "A.JPG"):
        (tmp_path / name).touch()
    finder = PhotoFinder(tmp_path / "captions.csv")
    assert [finder.relative(name) for name in ("a.jpg", "A.JPG")] == ["a.jpg", "A.JPG"]


@pytest.mark.parametrize(
    ("captions", "photo"),
    [
        ("captions.txt", "Images/a.jpg"),
        ("Flickr8k.token.txt", "Flicker8k_Dataset/a.jpg"),
        ("results.csv", "flickr30k_images/a.jpg"),
        ("annotations/captions_val2017.json", "val2017/a.jpg"),
        ("dataset.json", "images/a.jpg"),
        ("region_descriptions.json", "VG_100K_2/a.jpg"),
    ],
)
def test_photos_are_found_where_the_data_sets_have_them(captions: str, photo: str, tmp_path: Path) -> None:
    wrote(tmp_path / photo, "")
    (tmp_path / captions).parent.mkdir(exist_ok=True)
    assert (tmp_path / captions).parent / PhotoFinder(tmp_path / captions).relative("a.jpg") == (
        tmp_path / ("annotations/.." if "/" in captions else ".") / photo
    )


@pytest.mark.parametrize(
    "name", ["gone.jpg", "", ".", "..", "/", "a\0b.jpg", "x" * 5000, "~nobody/a.jpg", "http://a/b.jpg"]
)
def test_a_photo_that_is_not_there_keeps_the_name_that_it_has(name: str, tmp_path: Path) -> None:
    assert PhotoFinder(tmp_path / "captions.csv").relative(name) == name
