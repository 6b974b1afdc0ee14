"""BLIP on tiny random weights, beside what transformers itself makes of them; captions in a library; re-ranking."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from painting import paint
from PIL import Image

from indexer import Encoder, Library, index_sources
from indexer.encoders import blip
from indexer.errors import EncoderUnavailable, QueryError
from indexer.modalities.caption import load_captioner
from search.cli import main
from search.engine import Engine
from search.query import Query, like, parse

transformers = pytest.importorskip("transformers", reason="transformers is not installed: pip install 'descry[blip]'")
torch = pytest.importorskip("torch")

WORDS = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]", "[ENC]", "[DEC]", "a", "red", "green", "blue", "thing", "dog"]


def tiny(folder: Path, kind: str) -> str:
    """The folder of a BLIP model of that class with random weights, a hundred thousand of them."""
    torch.manual_seed(0)
    size = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = transformers.BlipConfig(
        text_config=size
        | {"vocab_size": len(WORDS), "encoder_hidden_size": 32, "bos_token_id": 6, "sep_token_id": 2, "eos_token_id": 2}
        | {"pad_token_id": 0, "max_position_embeddings": 40, "initializer_range": 0.5},
        vision_config=size | {"image_size": 32, "patch_size": 8, "initializer_range": 0.5},
        projection_dim=16,
        image_text_hidden_size=16,
    )
    getattr(transformers, kind)(config).save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(WORDS))
    images = transformers.BlipImageProcessor(size={"height": 32, "width": 32})
    words = transformers.BertTokenizerFast(str(folder / "vocab.txt"))
    transformers.BlipProcessor(images, words).save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def captioner(tmp_path_factory: pytest.TempPathFactory) -> str:
    return tiny(tmp_path_factory.mktemp("captioner"), "BlipForConditionalGeneration")


@pytest.fixture(scope="module")
def matcher(tmp_path_factory: pytest.TempPathFactory) -> str:
    return tiny(tmp_path_factory.mktemp("matcher"), "BlipForImageTextRetrieval")


@pytest.fixture(autouse=True)
def _forgotten() -> Iterator[None]:
    yield
    load_captioner.cache_clear()
    blip.load_matcher.cache_clear()


def pictures() -> list[Image.Image]:
    noise = Image.effect_noise((48, 40), 90).convert("RGB")
    return [Image.new("RGB", (40, 40), "red"), Image.linear_gradient("L").convert("RGB"), noise]


# beside transformers itself


def test_a_caption_is_what_transformers_says(captioner: str) -> None:
    ours = blip.Captioner(captioner, device="cpu")
    model = transformers.BlipForConditionalGeneration.from_pretrained(captioner).eval().to(ours._model.dtype)
    processor = transformers.BlipProcessor.from_pretrained(captioner)
    for picture in pictures():
        pixels = processor(images=picture, return_tensors="pt")["pixel_values"].to(model.dtype)
        told = model.generate(pixel_values=pixels, num_beams=3, max_new_tokens=30)
        sentence = processor.decode(told[0], skip_special_tokens=True).strip()
        assert [one.lower() for one in ours([picture])] == [sentence.lower()]
        assert sentence


@pytest.mark.parametrize("at_once", [2, 8])
def test_a_batch_says_what_one_by_one_says(captioner: str, monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    monkeypatch.setattr(blip, "AT_ONCE", at_once)
    ours = blip.Captioner(captioner, device="cpu")
    gradients = [Image.linear_gradient("L").rotate(angle).convert("RGB") for angle in (0, 90, 180)]
    photos = [*pictures(), *gradients]
    one_by_one = [sentence for photo in photos for sentence in ours([photo])]
    assert ours(photos) == one_by_one
    assert len({*one_by_one}) > 1
    assert ours([]) == []


def test_a_match_is_what_transformers_computes_and_differs_by_words_and_picture(matcher: str) -> None:
    ours = blip.Matcher(matcher, device="cpu")
    model = transformers.BlipForImageTextRetrieval.from_pretrained(matcher).eval().to(ours._model.dtype)
    processor = transformers.BlipProcessor.from_pretrained(matcher)
    found = {}
    for sentence in ("a red dog", "a blue thing"):
        found[sentence] = ours(sentence, pictures())
        for picture, probability in zip(pictures()[:2], found[sentence], strict=False):
            asked = processor(images=picture, text=sentence, return_tensors="pt").to("cpu", model.dtype)
            expected = model(**asked).itm_score.float().softmax(dim=1)[0, 1].item()
            assert probability == pytest.approx(expected, abs=0.02)
    assert len({round(one, 3) for row in found.values() for one in row}) > 2
    assert ours("a " * 99, pictures()[:1])  # longer than the model's context
    assert ours("a dog", []) == []


def test_what_is_no_model_for_it_is_refused(
    captioner: str, matcher: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(EncoderUnavailable, match="is a BLIP model for something else: it lacks"):
        blip.Matcher(captioner)
    with pytest.raises(EncoderUnavailable, match="is a BLIP model for something else: it lacks"):
        blip.Captioner(matcher)
    with pytest.raises(EncoderUnavailable, match="is no BLIP model that can be used"):
        blip.Captioner(str(tmp_path))
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    with pytest.raises(EncoderUnavailable, match="its type is 'bert'"):
        blip.Captioner(str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(blip, "find_spec", lambda _: None)
    with pytest.raises(EncoderUnavailable, match=r"pip install 'descry\[blip\]'"):
        blip.Captioner("anything")


# captions


@pytest.fixture
def painted(library: Library, photos: Path, encoder: Encoder) -> Library:
    for color in ("red", "blue", "green"):
        paint(photos / f"{color}.png", color)
    index_sources(library, [photos], encoder)
    return library


def test_the_command_writes_them_into_a_library_that_is_there(
    painted: Library, photos: Path, encoder: Encoder, monkeypatch: pytest.MonkeyPatch, captioner: str
) -> None:
    monkeypatch.setattr("indexer.load_encoder", lambda *_, **__: encoder)
    run = _runner(painted)
    assert "3 embedded, 3 unchanged" in run("caption", "--model", captioner)
    assert "caption items" in run("status")
    assert "holds nothing at" in run("caption", photos.parent / "elsewhere", "--model", captioner)
    assert "is no BLIP model that can be used" in run("caption", "--model", photos)


# re-ranking


def test_the_first_hundred_are_ordered_by_the_matcher_and_keep_their_cosines(
    painted: Library, photos: Path, encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Greenest:
        side = 32

        def __call__(self, sentence: str, pictures: list[Image.Image]) -> list[float]:
            assert sentence == "red thing"
            return [picture.getpixel((0, 0))[1] / 255 for picture in pictures]  # type: ignore[index]

    monkeypatch.setattr("search.matching.load_matcher", lambda _: Greenest())
    engine = Engine(painted, encoder)
    hits = engine.search(parse("red thing -blue", rerank="ours"))
    assert hits[0].item.path.name == "green.png"
    assert [hit.match for hit in hits] == sorted((hit.match for hit in hits), reverse=True)
    by_cosine = {hit.id: hit.score for hit in engine.search(parse("red thing -blue"))}
    assert {hit.id: hit.score for hit in hits} == by_cosine
    (photos / "green.png").unlink()
    hits = engine.search(parse("red thing", rerank="ours"))
    assert (hits[-1].item.path.name, hits[-1].match) == ("green.png", None)


def test_a_real_matcher_orders_an_answer(painted: Library, encoder: Encoder, matcher: str) -> None:
    hits = Engine(painted, encoder).search(parse("a red dog", rerank=matcher))
    assert len(hits) == 3
    assert [hit.match for hit in hits] == sorted((hit.match or 0 for hit in hits), reverse=True)


@pytest.mark.parametrize(
    "asked",
    [
        lambda: like("id:1", rerank="ours"),
        lambda: parse("a dog", rerank="ours", sort="-date"),
        lambda: parse("a dog", rerank="ours", diverse=True),
        lambda: parse("-people", rerank="ours"),
    ],
)
def test_only_words_by_relevance_are_re_ranked(asked: Callable[[], Query]) -> None:
    with pytest.raises(QueryError, match="can be re-ranked"):
        asked()


def test_the_command_line_re_ranks(
    painted: Library, encoder: Encoder, matcher: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Library, "encoder", lambda *_, **__: encoder)
    run = _runner(painted)
    hits, _ = json.JSONDecoder().raw_decode(run("search", "a red dog", "--rerank", matcher, "--json", "--no-words"))
    assert all(0 < hit["match"] < 1 for hit in hits)
    assert "is no BLIP model" in run("search", "a red dog", "--rerank", painted.path)


def _runner(library: Library) -> Callable[..., str]:
    def run(*arguments: str | Path) -> str:
        result = CliRunner().invoke(main, ["--library", str(library.path), *map(str, arguments)])
        return result.output + str(result.exception or "")

    return run
