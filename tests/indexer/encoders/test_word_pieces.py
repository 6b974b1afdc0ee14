"""WordPiece without the package `tokenizers`, held against it on everything that people and machines write."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer

from indexer.encoders.word_pieces import WordPieces
from indexer.shipped import shipped

FILE = shipped("models", "embedded") / "tokenizer.json"
CAPTIONS = Path(__file__).parents[4] / "shared" / "data" / "flickr8k" / "captions.jsonl"

HARD = [
    "",
    "  \t\n\r ",
    "a",
    "Two DOGS, playing in the snow!",
    "don't stop; it's 10 o'clock",
    "snake_case __init__ a--b-c !!!???... (x) {y} <z> `q` ~ ^ |",
    "1234567890 3.14 50mm f/1.8",
    "[PAD] [UNK] [CLS] [MASK] and [brackets]",
    "antidisestablishmentarianism qqqxzqq",
    "a" * 100,
    "a" * 101,
    "café Zürich ÅNGSTRÖM ﬁ ſ İ",  # noqa: RUF001  look-alikes are the point
    "猫が寝ている",
    "🙂 a family 👨‍👩‍👧",
    "zero\u200bwidth \ufeff\u00ad",
    "\x00\x1b[31mred\x1b[0m \x0b\x0c\x7f \x85\xa0",
]


def package(file: Path) -> Tokenizer:
    """The package's tokenizer of a file; that it may pad and cut as the file says is not what is compared."""
    tokenizer = Tokenizer.from_file(str(file))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


@pytest.fixture(scope="module")
def original() -> Tokenizer:
    return package(FILE)


@pytest.fixture(scope="module")
def pieces() -> WordPieces:
    return WordPieces(FILE)


def random_texts(count: int) -> list[str]:
    alphabets = [
        "abcdefghij '&;#<>_-.,!0123456789\n\t",
        "".join(map(chr, range(128))),
        "".join(map(chr, range(0x180))),
        "aA[]UNKCLS# ",
    ]
    dice = random.Random(0)
    return ["".join(dice.choices(dice.choice(alphabets), k=dice.randrange(130))) for _ in range(count)]


def test_hard_and_random_texts_have_the_ids_of_the_package(pieces: WordPieces, original: Tokenizer) -> None:
    for text in [*HARD, *random_texts(2000)]:
        assert pieces.encode(text) == original.encode(text, add_special_tokens=False).ids, repr(text)


def test_real_captions_have_the_ids_of_the_package(pieces: WordPieces, original: Tokenizer) -> None:
    if not CAPTIONS.exists():
        pytest.skip("the captions of Flickr8k are not beside the project")
    lines = CAPTIONS.read_text(encoding="utf-8").splitlines()[::4]
    captions = [caption for line in lines for caption in json.loads(line)["captions"]]
    theirs = [encoding.ids for encoding in original.encode_batch(captions, add_special_tokens=False)]
    assert len(captions) > 5000
    assert [pieces.encode(caption) for caption in captions] == theirs


@pytest.mark.parametrize(
    "change",
    [
        {
            "normalizer": {
                "type": "BertNormalizer",
                "clean_text": True,
                "handle_chinese_chars": True,
                "lowercase": False,
            }
        },
        {"pre_tokenizer": {"type": "Whitespace"}},
        {"added_tokens": [{"id": 2, "content": "dog", "special": True}]},
    ],
)
def test_a_file_of_another_build_is_left_to_the_package(change: dict[str, Any], tmp_path: Path) -> None:
    content = json.loads(FILE.read_text(encoding="utf-8"))
    if "added_tokens" in change:
        plain = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
        change = {"added_tokens": [{**plain, **token} for token in change["added_tokens"]]}
        content["model"]["vocab"]["dog"] = 2
    (tmp_path / "tokenizer.json").write_text(json.dumps(content | change))
    theirs = package(tmp_path / "tokenizer.json")
    pieces = WordPieces(tmp_path / "tokenizer.json")
    for text in ("Two DOGS, a dog-house", "it's 10"):
        assert pieces.encode(text) == theirs.encode(text, add_special_tokens=False).ids


def test_plain_text_is_taken_apart_without_the_package() -> None:
    code = (
        "import sys; from pathlib import Path; from indexer.encoders.word_pieces import WordPieces;"
        f"print(len(WordPieces(Path({str(FILE)!r})).encode('a dog')), 'tokenizers' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "2 False\n"
