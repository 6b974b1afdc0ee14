"""open_clip models by name: found, refused in one line, and embedding as open_clip itself does."""

from __future__ import annotations

import json
import logging
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from indexer.encoders import Encoder, load_encoder
from indexer.errors import EncoderUnavailable, UnknownEncoder
from indexer.photos.opening import open_photo

SENTENCES = ["a cat", "", "two dogs playing in the snow", "word " * 100]


@pytest.fixture(scope="module")
def tiny(tiny_model: Path) -> Encoder:
    return load_encoder(f"open_clip:{tiny_model}", device="cpu")


@pytest.fixture(scope="module")
def tiny_architecture(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The shape of the tiny model under a name of its own, as open_clip's built-in ones have."""
    import open_clip

    path = tmp_path_factory.mktemp("architectures") / "ViT-tiny-test.json"
    path.write_text(json.dumps(json.loads((tiny_model / "open_clip_config.json").read_text())["model_cfg"]))
    open_clip.add_model_config(path)
    return path.stem


def original(folder: Path) -> tuple[Any, Any]:
    """The model of a folder and its transform of pictures, from open_clip itself."""
    import open_clip

    network, _, transform = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    return network.eval(), transform


def test_sentences_and_photos_are_embedded_as_open_clip_does(
    tiny: Encoder, tiny_model: Path, real_photos: list[Path]
) -> None:
    import open_clip
    import torch

    network, transform = original(tiny_model)
    with torch.inference_mode():
        texts = network.encode_text(open_clip.get_tokenizer(f"local-dir:{tiny_model}")(SENTENCES), normalize=True)
        pixels = torch.stack([transform(Image.open(photo)) for photo in real_photos])
        images = network.encode_image(pixels, normalize=True)
    assert np.vecdot(tiny.embed("text", SENTENCES), texts.numpy()).min() > 0.9999
    mine = tiny.embed("image", [open_photo(photo) for photo in real_photos])
    assert mine.shape == (2, 32)
    assert mine.dtype == np.float32
    assert np.allclose(np.linalg.norm(mine, axis=1), 1, atol=1e-6)
    assert np.vecdot(mine, images.numpy()).min() > 0.999


@pytest.mark.parametrize("mode", ["shortest", "longest", "squash"])
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
def test_pictures_are_prepared_as_the_model_says(
    save_model: Callable[..., Path], real_photos: list[Path], mode: str, interpolation: str
) -> None:
    folder = save_model(preprocess={"resize_mode": mode, "interpolation": interpolation})
    tower = load_encoder(f"open_clip:{folder}", device="cpu").tower("image")
    _, transform = original(folder)
    mean, std = (np.array(values).reshape(3, 1, 1) for values in ((0.48, 0.46, 0.41), (0.27, 0.26, 0.28)))
    for photo in real_photos:
        prepared = tower.prepare(open_photo(photo))
        assert prepared.shape == (3, 64, 64)
        assert prepared.dtype == np.uint8
        mine, theirs = ((prepared / 255 - mean) / std).ravel(), transform(Image.open(photo)).numpy().ravel()
        assert mine @ theirs / np.linalg.norm(mine) / np.linalg.norm(theirs) > 0.999
    assert tower.fits(Image.new("RGB", (3, 1000)))


def test_a_text_fits_if_none_of_its_tokens_is_cut(tiny: Encoder) -> None:
    tower = tiny.tower("text")
    assert tower.fits("word " * 75)  # and those of start and end: 77
    assert not tower.fits("word " * 76)


def test_an_empty_batch_is_an_empty_array(tiny: Encoder) -> None:
    for tower in tiny.towers:
        assert tiny.tower(tower).embed([]).shape == (0, 32)


def test_a_model_that_bfloat16_would_blur_stays_in_float32(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch, real_photos: list[Path]
) -> None:
    import torch

    from indexer.encoders import open_clip_model

    monkeypatch.setattr(open_clip_model, "pick_dtype", lambda _: torch.bfloat16)
    rows = []
    for least, dtype in ((0.9, torch.bfloat16), (1.1, torch.float32)):
        monkeypatch.setattr(open_clip_model, "LEAST_COSINE", least)
        encoder = load_encoder(f"open_clip:{tiny_model}", device="cpu")
        rows.append(encoder.embed("image", [open_photo(photo) for photo in real_photos]))
        assert vars(encoder.tower("image"))["dtype"] == dtype
    assert 0.99 < np.vecdot(*rows).min() < 0.9999999


def test_one_name_with_other_weights_has_another_checksum(
    tiny: Encoder, tiny_model: Path, save_model: Callable[..., Path], tmp_path: Path
) -> None:
    copy = shutil.copytree(tiny_model, tmp_path / "copy")
    assert load_encoder(f"open_clip:{copy}", device="cpu").checksum == tiny.checksum
    other = load_encoder(f"open_clip:{save_model(seed=1)}", device="cpu")
    assert other.checksum != tiny.checksum
    assert len(tiny.checksum) == 32


def test_a_checkpoint_is_named_by_its_architecture_and_path(
    tiny: Encoder, tiny_model: Path, tiny_architecture: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tiny_model)
    weights = tiny_model / "open_clip_model.safetensors"
    for place in (str(weights), "./open_clip_model.safetensors"):
        encoder = load_encoder(f"open_clip:{tiny_architecture}/{place}", device="cpu")
        assert encoder.name == f"open_clip:{tiny_architecture}/{weights}"
        assert encoder.dimension == 32
    assert np.allclose(encoder.embed("text", SENTENCES), tiny.embed("text", SENTENCES), atol=1e-6)


def test_a_local_checkpoint_is_prepared_for_as_its_published_siblings_are() -> None:
    from indexer.encoders.open_clip_source import _usual_preprocess

    assert _usual_preprocess("ViT-B-16-SigLIP2")["resize_mode"] == "squash"
    assert _usual_preprocess("MobileCLIP2-S0")["mean"] == (0.0, 0.0, 0.0)
    assert _usual_preprocess("ViT-H-14-CLIPA-336")["interpolation"] == "bilinear"
    assert _usual_preprocess("ViT-M-32") == {}  # never published


def test_weights_trained_with_quick_gelu_are_run_with_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from indexer.encoders import open_clip_source
    from indexer.encoders.open_clip_source import find

    monkeypatch.setattr(open_clip_source, "fetch", lambda *_, **__: tmp_path / "weights.safetensors")
    assert find("open_clip:ViT-B-32/openai").quick_gelu
    assert not find("open_clip:ViT-B-32/laion2b_s34b_b79k").quick_gelu


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("open_clip:ViT-B-33/openai", r"no architecture 'ViT-B-33' \(near: ViT-B-32.*descry models"),
        ("open_clip:ViT-B-32", r"ViT-B-32 alone names no weights; choose .*TAG with one of openai, .*datacomp_xl"),
        ("open_clip:ViT-B-32/", "ViT-B-32 alone names no weights"),
        ("open_clip:ViT-B-32/open", r"no weights 'open' \(near: openai\)"),
        ("open_clip:ViT-M-32/openai", "No weights of ViT-M-32 are published; give a local checkpoint"),
        ("open_clip:", "names no model"),
    ],
)
def test_a_name_that_means_nothing_is_refused_with_what_was_near(name: str, says: str) -> None:
    with pytest.raises(UnknownEncoder, match=says) as caught:
        load_encoder(name)
    assert "\n" not in str(caught.value)


def test_a_folder_without_config_or_weights_is_refused(tiny_model: Path, tmp_path: Path) -> None:
    with pytest.raises(EncoderUnavailable, match=r"holds no open_clip_config\.json"):
        load_encoder(f"open_clip:{tmp_path}")
    shutil.copy(tiny_model / "open_clip_config.json", tmp_path)
    with pytest.raises(EncoderUnavailable, match="holds no weights"):
        load_encoder(f"open_clip:{tmp_path}")
    (tmp_path / "open_clip_config.json").write_text("{")
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(EncoderUnavailable, match=r"damaged"):
        load_encoder(f"open_clip:{tmp_path}")


def test_a_checkpoint_that_is_not_there_is_refused(tiny_architecture: str, tmp_path: Path) -> None:
    with pytest.raises(EncoderUnavailable, match="There is no checkpoint"):
        load_encoder(f"open_clip:{tiny_architecture}/{tmp_path}/none.pt")


@pytest.mark.parametrize("name", ["w.safetensors", "w.pt", "w.bin"])
@pytest.mark.parametrize("content", [b"", b"nothing of the kind", b"\x80\x04N."])
def test_a_damaged_checkpoint_is_refused_in_one_line(
    tiny_architecture: str, tmp_path: Path, name: str, content: bytes
) -> None:
    (tmp_path / name).write_bytes(content)
    encoder = load_encoder(f"open_clip:{tiny_architecture}/{tmp_path / name}", device="cpu")
    with pytest.raises(EncoderUnavailable, match=r"damaged or no checkpoint.*fetch it again") as caught:
        encoder.tower("image")
    assert "\n" not in str(caught.value)


def test_a_checkpoint_with_code_in_it_is_refused_and_not_run(tiny_architecture: str, tmp_path: Path) -> None:
    import pickle

    import torch

    class Malice:
        def __reduce__(self) -> tuple[Any, ...]:
            return (partial(open, str(tmp_path / "ran"), "w"), ())

    torch.save({"weights": Malice()}, tmp_path / "w.pt", pickle_module=pickle)
    encoder = load_encoder(f"open_clip:{tiny_architecture}/{tmp_path}/w.pt", device="cpu")
    with pytest.raises(EncoderUnavailable):
        encoder.tower("text")
    assert not (tmp_path / "ran").exists()


def test_weights_of_another_architecture_are_refused(save_model: Callable[..., Path], tiny_architecture: str) -> None:
    for other in (save_model(text={"width": 64}), save_model(text={"layers": 1})):
        encoder = load_encoder(f"open_clip:{tiny_architecture}/{other}/open_clip_model.safetensors", device="cpu")
        with pytest.raises(EncoderUnavailable, match="weights of another architecture"):
            encoder.tower("image")


def test_open_clip_is_kept_from_talking_and_logging_is_left_as_it_was(tiny_model: Path) -> None:
    root = logging.getLogger()
    before = (list(root.handlers), root.level, root.manager.disable, list(warnings.filters))
    load_encoder(f"open_clip:{tiny_model}", device="cpu").tower("text")
    assert (list(root.handlers), root.level, root.manager.disable, list(warnings.filters)) == before


def run(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    variables = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    return subprocess.run([sys.executable, "-c", code], env=variables | environment, capture_output=True, text=True)


@pytest.fixture
def black_hole() -> Iterator[str]:
    """The address of a server that takes every connection and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def test_a_hub_that_never_answers_is_given_up_in_one_line(black_hole: str, tmp_path: Path) -> None:
    code = (
        "from indexer.encoders import load_encoder\n"
        "from indexer.errors import EncoderUnavailable\n"
        "try: load_encoder('vit-b-32')\n"
        "except EncoderUnavailable as error: print(error)"
    )
    result = run(code, HF_ENDPOINT=black_hole, HF_HOME=str(tmp_path))
    assert result.stdout == (
        f"laion/CLIP-ViT-B-32-DataComp.XL-s13B-b90K could not be fetched from {black_hole}: no answer within 4"
        " seconds; give a local checkpoint with open_clip:ViT-B-32//path, or try again with a network.\n"
    )
    assert result.stderr == ""


FETCH = (
    "from indexer.encoders import open_clip_source\n"
    "from indexer.errors import EncoderUnavailable\n"
    "open_clip_source.PATIENCE = 1.0\n"
    "try: print(open_clip_source.fetch('someone/model', remedy='try again.').read_bytes())\n"
    "except EncoderUnavailable as error: print(error)"
)


@pytest.mark.parametrize(
    ("environment", "says"),
    [
        ({"HF_ENDPOINT": "http://127.0.0.1:9"}, "refused"),
        ({"HF_ENDPOINT": "http://no-such-host.invalid"}, "someone/model could not be fetched"),
        ({"HF_HUB_OFFLINE": "1"}, "HF_HUB_OFFLINE is set; try again."),
    ],
)
def test_a_hub_that_cannot_be_reached_is_one_line(environment: dict[str, str], says: str, tmp_path: Path) -> None:
    result = run(FETCH, HF_HOME=str(tmp_path), **environment)
    assert says in result.stdout
    assert result.stdout.count("\n") == 1
    assert result.stderr == ""


class Hub(BaseHTTPRequestHandler):
    """As much of the hub as a download asks for; it has the second of the two files, and sends it slowly."""

    content = b"weights!" * 4

    def do_HEAD(self) -> None:
        here = self.path.startswith("/someone/model/") and self.path.endswith("/open_clip_pytorch_model.bin")
        self.send_response(200 if here else 404)
        self.send_header("X-Repo-Commit", "c0ffee" * 6 + "c0de")
        if here:
            self.send_header("ETag", '"0123456789abcdef"')
            self.send_header("Content-Length", str(len(self.content)))
        else:
            self.send_header("X-Error-Code", "EntryNotFound" if "/someone/model/" in self.path else "RepoNotFound")
            self.send_header("Content-Length", "0")
        self.end_headers()

    def do_GET(self) -> None:
        self.do_HEAD()
        for byte in self.content:
            self.wfile.write(bytes([byte]))
            time.sleep(2 / len(self.content))  # twice the patience in all

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def small_hub() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_slow_download_is_waited_for_and_needs_no_hub_the_next_time(
    small_hub: str, black_hole: str, tmp_path: Path
) -> None:
    first = run(FETCH, HF_ENDPOINT=small_hub, HF_HOME=str(tmp_path))
    assert (first.stdout, first.returncode) == (f"{Hub.content!r}\n", 0), first.stderr
    again = run(FETCH, HF_ENDPOINT=black_hole, HF_HOME=str(tmp_path))
    assert (again.stdout, again.stderr) == (f"{Hub.content!r}\n", "")


def test_a_repository_that_is_not_there_is_said_to_be_so(small_hub: str, tmp_path: Path) -> None:
    result = run(FETCH.replace("someone/model", "nobody/model"), HF_ENDPOINT=small_hub, HF_HOME=str(tmp_path))
    assert "there is no such repository" in result.stdout
    assert result.stdout.count("\n") == 1
