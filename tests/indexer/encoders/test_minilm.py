"""MiniLM in numpy against the same layers in torch, in float32, one sentence at a time."""

from __future__ import annotations

import json
import math
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer

from indexer import shipped
from indexer.encoders import minilm
from indexer.encoders.minilm import MiniLM, WordPieces, tokens
from indexer.encoders.weights import map_arrays

LAYERS, WIDTH, HEADS, HIDDEN, WORDS, CONTEXT = 2, 24, 3, 40, 50, 16
PUBLISHED = Path(__file__).parents[4] / "shared" / "models" / "minilm_l6_int8"
CAPTIONS = [
    "A dog runs on the beach.",
    "Two children, one of them in a RED coat, play in the snow!",
    "",
    "cat",
    "Café Zürich bei Nacht 猫",
    "word " * 200,
]

needs_published = pytest.mark.skipif(not PUBLISHED.is_dir(), reason="the published weights are not here")


def made_up() -> dict[str, np.ndarray[Any, Any]]:
    """A small model with random weights, as the file form keeps them."""
    chance = np.random.default_rng(0)

    def matrix(name: str, rows: int, columns: int) -> dict[str, np.ndarray[Any, Any]]:
        return {
            f"{name}.weight": chance.integers(-127, 128, (rows, columns), dtype=np.int8),
            f"{name}.weight.scale": chance.uniform(0.0005, 0.003, rows).astype(np.float16),
        }

    def vector(name: str, size: int, around: float = 0.0) -> dict[str, np.ndarray[Any, Any]]:
        return {name: (around + 0.1 * chance.standard_normal(size)).astype(np.float16)}

    arrays = matrix("word", WORDS, WIDTH) | {"pos": chance.normal(0, 0.1, (CONTEXT, WIDTH)).astype(np.float16)}
    norms = ["n0"]
    for layer in range(LAYERS):
        for part, rows, columns in (
            ("qkv", 3 * WIDTH, WIDTH),
            ("out", WIDTH, WIDTH),
            ("fc1", HIDDEN, WIDTH),
            ("fc2", WIDTH, HIDDEN),
        ):
            name = f"layers.{layer}.{part}"
            arrays |= matrix(name, rows, columns) | vector(f"{name}.bias", rows)
        norms += [f"layers.{layer}.n1", f"layers.{layer}.n2"]
    for name in norms:
        arrays |= vector(f"{name}.weight", WIDTH, 1.0) | vector(f"{name}.bias", WIDTH)
    return arrays


def slow(
    arrays: dict[str, np.ndarray[Any, Any]], ids: np.ndarray[Any, Any], heads: int, *, words: bool = False
) -> np.ndarray[Any, Any]:
    """The vector of one sentence by torch's own layers over float32 weights."""
    import torch
    from torch.nn import functional

    w = {}
    for name, array in arrays.items():
        if name.endswith(".scale"):
            continue
        scale = arrays.get(f"{name}.scale")
        full = array.astype(np.float32) * (1 if scale is None else scale.astype(np.float32)[:, None])
        w[name] = torch.from_numpy(np.asarray(full, np.float32))

    def norm(x: torch.Tensor, name: str) -> torch.Tensor:
        return functional.layer_norm(x, x.shape[-1:], w[f"{name}.weight"], w[f"{name}.bias"], 1e-12)

    def linear(x: torch.Tensor, name: str) -> torch.Tensor:
        return functional.linear(x, w[f"{name}.weight"], w[f"{name}.bias"])

    x = first = norm(w["word.weight"][torch.from_numpy(ids)] + w["pos"][: len(ids)], "n0")
    width = x.shape[1]
    for layer in range(len({name.split(".")[1] for name in arrays if name.startswith("layers.")})):
        q, k, v = linear(x, f"layers.{layer}.qkv").view(len(ids), 3, heads, width // heads).permute(1, 2, 0, 3)
        shares = torch.softmax(q @ k.transpose(1, 2) / math.sqrt(width // heads), dim=-1)
        mixed = (shares @ v).transpose(0, 1).reshape(len(ids), width)
        x = norm(x + linear(mixed, f"layers.{layer}.out"), f"layers.{layer}.n1")
        hidden = functional.gelu(linear(x, f"layers.{layer}.fc1"))
        x = norm(x + linear(hidden, f"layers.{layer}.fc2"), f"layers.{layer}.n2")
    mean: np.ndarray[Any, Any] = x.mean(0).numpy()
    if words:
        inside = first[1:-1] if len(ids) > 2 else first
        mean = torch.cat([functional.layer_norm(one.mean(0), (width,)) for one in (x, inside)]).numpy()
    return mean


@pytest.mark.parametrize("words", [False, True])
@pytest.mark.parametrize("most", [1, 20, 10_000])
def test_sentences_of_any_lengths_have_the_vectors_of_torch(
    most: int, words: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(minilm, "TOKENS", most)
    chance = np.random.default_rng(1)
    sentences = [chance.integers(0, WORDS, length) for length in (3, 16, 1, 7, 3, 3, 16, 2)]
    arrays = made_up()
    found = MiniLM(arrays, heads=HEADS, words=words).encode(sentences)
    expected = np.stack([slow(arrays, ids, HEADS, words=words) for ids in sentences])
    assert found.dtype == np.float32
    assert np.allclose(found, expected, atol=1e-4 if words else 2e-5)  # what is of deviation 1 is larger


def test_no_sentences_are_no_vectors() -> None:
    assert MiniLM(made_up(), heads=HEADS).encode([]).shape == (0, WIDTH)
    assert MiniLM(made_up(), heads=HEADS, words=True).encode([]).shape == (0, 2 * WIDTH)


@pytest.mark.parametrize("name", ["layers.1.fc2.weight", "word.weight.scale", "n0.bias", "layers.0.qkv.bias"])
def test_arrays_that_do_not_fit_each_other_are_refused_by_name(name: str) -> None:
    arrays = made_up()
    with pytest.raises(ValueError, match=name):
        MiniLM(arrays | {name: arrays[name][:-1]}, heads=HEADS)
    with pytest.raises(KeyError, match=name):
        MiniLM({other: array for other, array in arrays.items() if other != name}, heads=HEADS)


@needs_published
def test_the_published_weights_give_the_vectors_of_torch_and_its_tokenizer() -> None:
    arrays = map_arrays(PUBLISHED / "model.safetensors")
    model, pieces = MiniLM(arrays), WordPieces(PUBLISHED / "tokenizer.json")
    original = Tokenizer.from_file(str(PUBLISHED / "tokenizer.json"))
    original.no_padding()
    sentences = [tokens(pieces, caption, model.context) for caption in CAPTIONS]
    assert [ids.tolist() for ids in sentences] == [original.encode(caption).ids for caption in CAPTIONS]
    found = model.encode(sentences)
    expected = np.stack([slow(arrays, ids, 12) for ids in sentences])
    lengths = np.linalg.norm(found, axis=1) * np.linalg.norm(expected, axis=1)
    assert (np.vecdot(found, expected) / lengths).min() > 0.9999


@needs_published
def test_a_sentence_needs_numpy_alone() -> None:
    script = (
        "import sys; from pathlib import Path; from indexer.encoders.minilm import MiniLM, tokens;"
        "from indexer.encoders.weights import map_arrays; from indexer.encoders.minilm import WordPieces;"
        f"folder = Path({str(PUBLISHED)!r}); model = MiniLM(map_arrays(folder / 'model.safetensors'));"
        "model.encode([tokens(WordPieces(folder / 'tokenizer.json'), 'a dog', model.context)]);"
        "print({'torch', 'tokenizers', 'safetensors', 'PIL', 'faiss'} & set(sys.modules))"
    )
    said = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert said.stdout.strip() == "set()"


FILE = shipped("models", "embedded") / "tokenizer.json"
FLICKR8K = Path(__file__).parents[4] / "shared" / "data" / "flickr8k" / "captions.jsonl"

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
    if not FLICKR8K.exists():
        pytest.skip("the captions of Flickr8k are not beside the project")
    lines = FLICKR8K.read_text(encoding="utf-8").splitlines()[::4]
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
        "import sys; from pathlib import Path; from indexer.encoders.minilm import WordPieces;"
        f"print(len(WordPieces(Path({str(FILE)!r})).encode('a dog')), 'tokenizers' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "2 False\n"


def test_a_piece_looked_up_in_the_file_has_the_id_that_reading_all_of_it_gives() -> None:
    known = json.loads(FILE.read_text(encoding="utf-8"))["model"]["vocab"]
    for start in range(0, len(known), 97):  # a few at a time, before all of them are read
        vocabulary = WordPieces(FILE)._vocabulary
        asked = list(known)[start : start + 3]
        assert [vocabulary.get(piece) for piece in asked] == [known[piece] for piece in asked]


@pytest.mark.parametrize("indent", [None, 1])
def test_pieces_that_look_like_the_file_itself_are_told_apart(tmp_path: Path, indent: int | None) -> None:
    content = json.loads(FILE.read_text(encoding="utf-8"))
    pieces = ["[UNK]", "1}", 'a"b', "}", '"vocab":{', "b", "\\b", "##b", "é"]
    content["model"]["vocab"] = {piece: number for number, piece in enumerate(pieces)}
    path = tmp_path / "tokenizer.json"
    for ascii_only in (True, False):
        path.write_text(json.dumps(content, indent=indent, ensure_ascii=ascii_only), encoding="utf-8")
        for number, piece in enumerate(pieces):
            assert WordPieces(path)._vocabulary.get(piece) == number, piece
        assert WordPieces(path)._vocabulary.get("c") is None
