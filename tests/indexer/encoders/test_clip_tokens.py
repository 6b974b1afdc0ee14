"""CLIP's tokenizer, held against open_clip's own on everything that people and machines write."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from indexer.encoders.clip_tokens import ClipTokenizer, merge_table
from indexer.items import Int64Array

CAPTIONS = Path(__file__).parents[4] / "shared" / "data" / "flickr8k" / "captions.jsonl"

HARD = [
    "",
    "  \t\n ",
    "a",
    "é",
    "🙂🙂 a family 👨‍👩‍👧",
    "猫が寝ている",
    "&amp;amp;lt;b&gt; &nbsp;x &#39;s &eacute;",
    "snake_case __init__ a--b-c !!!???...",
    "1234567890 x² ½ ③ ٣ Ⅷ",
    "don't I'll we've I'M they're 'tis rock'n'roll",
    "a" * 3000,
    "ab" * 700,
    "<start_of_text> hi <end_of_text> <START_OF_TEXT>",
    "\x00\x1b[31mred\x1b[0m a\r\nb\tc\x0bd\x0ce\x7f",
    "schön weiß STRASSE İstanbul ſ \u212a Å ﬁ",  # noqa: RUF001  look-alikes are the point
    "‘quotes’ “x” don’t …",  # noqa: RUF001
    "â€œmojibakeâ€ cafÃ©",
    "zero\u200bwidth \ufeff\u00ad",
]


@pytest.fixture(scope="module")
def original() -> Any:
    from open_clip.tokenizer import SimpleTokenizer

    return SimpleTokenizer


@pytest.fixture(scope="module")
def merges(original: Any) -> Int64Array:
    tokenizer = original()
    return merge_table(tokenizer.bpe_ranks, tokenizer.encoder)


def expected(tokenizer: Any, text: str) -> list[int]:
    return [tokenizer.sot_token_id, *tokenizer.encode(text), tokenizer.eot_token_id]


def random_texts(count: int) -> list[str]:
    alphabets = [
        "abcdefghij '&;#<>_-.,!0123456789\n\t",
        "".join(map(chr, range(0x180))),
        "".join(map(chr, range(0, 0x3000, 7))),
        "aàâ猫🙂’“½²ßİ\u212a &amp;lt",  # noqa: RUF001
    ]
    dice = random.Random(0)
    return ["".join(dice.choices(dice.choice(alphabets), k=dice.randrange(30))) for _ in range(count)]


def test_a_caption_has_the_ids_that_clip_is_known_for(merges: Int64Array) -> None:
    # "a photo of a cat" as every CLIP implementation prints it
    assert ClipTokenizer(merges).encode("a photo of a cat") == [49406, 320, 1125, 539, 320, 2368, 49407]


def test_the_table_holds_every_merge_sorted_by_its_key(merges: Int64Array) -> None:
    assert merges.shape == (48894, 2)
    assert (np.diff(merges[:, 0]) > 0).all()
    assert sorted(merges[:, 1].tolist()) == list(range(512, 49406))


@pytest.mark.parametrize("clean", ["lower", "whitespace", "canonicalize"])
def test_hard_and_random_texts_have_the_ids_of_open_clip(merges: Int64Array, original: Any, clean: str) -> None:
    mine, theirs = ClipTokenizer(merges, clean=clean), original(clean=clean)
    for text in [*HARD, *random_texts(2000)]:
        assert mine.encode(text) == expected(theirs, text), repr(text)


def test_real_captions_have_the_ids_of_open_clip(merges: Int64Array, original: Any) -> None:
    if not CAPTIONS.exists():
        pytest.skip("the captions of Flickr8k are not beside the project")
    mine, theirs = ClipTokenizer(merges), original()
    lines = CAPTIONS.read_text(encoding="utf-8").splitlines()[::4]
    captions = [caption for line in lines for caption in json.loads(line)["captions"]]
    assert len(captions) > 5000
    assert [text for text in captions if mine.encode(text) != expected(theirs, text)] == []


def test_a_vocabulary_numbered_in_another_order_is_refused() -> None:
    ids = {str(number): number for number in range(512)} | {"12": 513, "34": 512, "<s>": 514, "</s>": 515}
    with pytest.raises(ValueError, match="order of its merges"):
        merge_table({("1", "2"): 0, ("3", "4"): 1}, ids)
