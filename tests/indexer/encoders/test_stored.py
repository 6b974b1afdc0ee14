"""The stored text tower: the same vectors as the model's own, without torch, whole or not there."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from indexer.encoders import Encoder, load_encoder, load_text_tower
from indexer.encoders.stored import CONFIG, WEIGHTS, StoredTextTower
from indexer.errors import EncoderUnavailable

SENTENCES = [
    "a cat",
    "",
    "two dogs play in the snow",
    "Café &amp; Bar 🙂 no. 12",
    "word " * 100,
    "<end_of_text> behind",
]

# The text towers of published models in small: what each stands for -> its configuration.
TOWERS: dict[str, dict[str, Any]] = {
    "CLIP": {},
    "OpenAI's CLIP": {"quick_gelu": True},
    "MobileCLIP": {"text": {"no_causal_mask": True}, "custom_text": True},
    "SigLIP": {
        "text": {
            "no_causal_mask": True,
            "proj_bias": True,
            "pool_type": "last",
            "context_length": 16,
            "norm_kwargs": {"eps": 1e-3},
            "act_kwargs": {"approximate": "tanh"},
            "tokenizer_kwargs": {"clean": "canonicalize"},
        },
        "custom_text": True,
    },
    "layer scale": {"text": {"ls_init_value": 0.3, "context_length": 20}},
    "no projection, first token": {"text": {"proj_type": "none", "pool_type": "first"}, "custom_text": True},
    "pooled at the end of text": {"text": {"pool_type": "eos", "eos_id": 49407}, "custom_text": True},
}
UNKNOWN: dict[str, dict[str, Any]] = {
    "a class token behind the text": {"text": {"embed_cls": True}, "custom_text": True},
    "normalised queries and keys": {"text": {"qk_norm": True}},
}


def store(encoder: Encoder, folder: Path) -> StoredTextTower:
    assert encoder.store_text
    encoder.store_text(folder)
    return load_text_tower(folder)


@pytest.fixture(scope="module")
def tiny(tiny_model: Path) -> Encoder:
    return load_encoder(f"open_clip:{tiny_model}", device="cpu")


@pytest.fixture(scope="module")
def stored_folder(tiny: Encoder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("library") / "text"
    store(tiny, folder)
    return folder


@pytest.mark.parametrize("config", TOWERS.values(), ids=TOWERS)
def test_every_kind_of_tower_embeds_as_open_clip_does(
    save_model: Callable[..., Path], tmp_path: Path, config: dict[str, Any]
) -> None:
    import open_clip
    import torch

    folder = save_model(**config)
    stored = store(load_encoder(f"open_clip:{folder}", device="cpu"), tmp_path / "text")
    network = open_clip.create_model(f"local-dir:{folder}").eval()
    ids = open_clip.get_tokenizer(f"local-dir:{folder}")(SENTENCES)
    with torch.inference_mode():
        theirs = network.encode_text(ids, normalize=True).numpy()
    rows = stored.embed([stored.prepare(sentence) for sentence in SENTENCES])
    assert rows.shape == theirs.shape
    assert rows.dtype == np.float32
    assert np.vecdot(rows, theirs).min() > 0.99999
    assert abs(rows - theirs).max() < 1e-4


@pytest.mark.parametrize("config", UNKNOWN.values(), ids=UNKNOWN)
def test_a_tower_of_another_build_is_not_stored_and_the_log_says_why(
    save_model: Callable[..., Path], tmp_path: Path, config: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    encoder = load_encoder(f"open_clip:{save_model(**config)}", device="cpu")
    with caplog.at_level(logging.INFO, logger="indexer.encoders.stored"):
        assert encoder.store_text
        encoder.store_text(tmp_path / "text")
    assert list(tmp_path.iterdir()) == []
    assert "is not stored" in caplog.text


def test_a_stored_form_that_disagrees_with_the_model_is_thrown_away(
    tiny: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stored_folder: Path
) -> None:
    monkeypatch.setattr("indexer.encoders.stored._activation", lambda _: "quick_gelu")  # the model has GELU
    assert tiny.store_text
    tiny.store_text(tmp_path / "text")
    assert list(tmp_path.iterdir()) == []
    # and one that was there before stays
    before = (stored_folder / WEIGHTS).stat().st_mtime_ns
    tiny.store_text(stored_folder)
    assert (stored_folder / WEIGHTS).stat().st_mtime_ns == before


def test_storing_again_replaces_what_was_there(tiny: Encoder, tmp_path: Path) -> None:
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "rubbish").touch()
    store(tiny, tmp_path / "text")
    assert [path.name for path in tmp_path.iterdir()] == ["text"]
    assert not (tmp_path / "text" / "rubbish").exists()


def test_a_row_does_not_depend_on_its_company(stored_folder: Path) -> None:
    tower = load_text_tower(stored_folder)
    together = tower.embed([tower.prepare(sentence) for sentence in SENTENCES])
    alone = np.concatenate([tower.embed([tower.prepare(sentence)]) for sentence in SENTENCES])
    assert np.allclose(together, alone, atol=1e-6)
    assert tower.embed([]).shape == (0, 32)


def test_what_comes_behind_the_end_of_text_is_left_out(stored_folder: Path) -> None:
    tower = load_text_tower(stored_folder)
    assert tower.prepare("a cat").tolist() == [49406, 320, 2368, 49407]
    assert len(tower.prepare("word " * 100)) == 77


def test_fits_counts_the_tokens_before_they_are_cut(stored_folder: Path) -> None:
    tower = load_text_tower(stored_folder)
    assert tower.fits("word " * 75)  # and those of start and end: 77
    assert not tower.fits("word " * 76)


def test_the_folder_says_whose_tower_it_is(tiny: Encoder, stored_folder: Path) -> None:
    tower = load_text_tower(stored_folder)
    assert (tower.name, tower.dimension, tower.checksum) == (tiny.name, 32, tiny.checksum)


@pytest.mark.parametrize(
    ("file", "damage"),
    [
        (CONFIG, b"{}"),
        (CONFIG, b'{"format": 2}'),
        (CONFIG, b"\xff"),
        (WEIGHTS, b""),
        (WEIGHTS, b"\x10\x00\x00\x00\x00\x00\x00\x00{"),
        ("merges.npy", b"nothing"),
    ],
)
def test_a_damaged_folder_is_refused_with_a_remedy(
    stored_folder: Path, tmp_path: Path, file: str, damage: bytes
) -> None:
    for path in stored_folder.iterdir():
        (tmp_path / path.name).write_bytes(damage if path.name == file else path.read_bytes())
    with pytest.raises(EncoderUnavailable, match="delete that folder"):
        load_text_tower(tmp_path).embed([np.array([1])])


def test_weights_cut_off_by_a_full_disk_are_refused(stored_folder: Path, tmp_path: Path) -> None:
    for path in stored_folder.iterdir():
        content = path.read_bytes()
        (tmp_path / path.name).write_bytes(content[: len(content) - 4] if path.name == WEIGHTS else content)
    with pytest.raises(EncoderUnavailable, match="delete that folder"):
        load_text_tower(tmp_path)


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EncoderUnavailable, match="delete that folder"):
        load_text_tower(tmp_path / "none")


def test_it_tells_which_words_are_one_token_as_the_model_does(tiny: Encoder, stored_folder: Path) -> None:
    stored, own = load_text_tower(stored_folder), tiny.tower("text")
    words = ["dog", "beach", "snowboarder", "sonnenuntergang", "perros", "xylq", "猫"]
    told = [stored.is_whole(word) for word in words]
    assert told == [own.is_whole(word) for word in words]
    assert told[:2] == [True, True] and not any(told[-2:])


def test_a_foreign_vocabulary_is_stored_with_its_tokenizer(tiny: Encoder, tmp_path: Path) -> None:
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace
    from tokenizers.processors import TemplateProcessing

    words = Tokenizer(WordLevel({"<pad>": 0, "</s>": 1, "a": 2, "cat": 3, "?": 4}, unk_token="?"))
    words.pre_tokenizer = Whitespace()
    words.post_processor = TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    words.save(str(tmp_path / "tokenizer.json"))
    store(tiny, tmp_path / "text")
    (tmp_path / "tokenizer.json").rename(tmp_path / "text" / "tokenizer.json")
    config = json.loads((tmp_path / "text" / CONFIG).read_text())
    config |= {"tokenizer": "packaged", "clean": "canonicalize", "pool": "last", "context": 5}
    (tmp_path / "text" / CONFIG).write_text(json.dumps(config))
    tower = load_text_tower(tmp_path / "text")
    assert tower.is_whole is None  # it may be of any language
    assert tower.prepare("A cat!").tolist() == [2, 3, 1, 0, 0]
    assert tower.prepare("a a a a a a cat").tolist() == [2, 2, 2, 2, 1]
    assert tower.fits("a a a a") and not tower.fits("a a a a a")
    assert np.isfinite(tower.embed([tower.prepare("a cat")])).all()


def test_a_sentence_is_embedded_without_torch_or_any_library_of_models(stored_folder: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from indexer.encoders import load_text_tower;"
        f"tower = load_text_tower(Path({str(stored_folder)!r}));"
        "print(tower.embed([tower.prepare('two dogs in the snow')]).shape);"
        "print({'torch', 'open_clip', 'torchvision', 'timm', 'transformers', 'safetensors', 'ftfy', 'regex',"
        "'tokenizers', 'huggingface_hub'} & set(sys.modules))"
    )
    result = subprocess.run([sys.executable, "-c", code], env=dict(os.environ), capture_output=True, text=True)
    assert (result.stdout, result.stderr) == ("(1, 32)\nset()\n", "")
