"""Several encoders as one: names, vectors, and a text tower that stays light."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from indexer import Library, index_sources, load_encoder, shipped
from indexer.encoders import load_text_tower
from indexer.encoders.embedded import CONFIG
from indexer.encoders.ensemble import STORED, JoinedTower, Member, name_of, parse
from indexer.errors import EncoderMismatch, EncoderUnavailable, UnknownEncoder

SENTENCES = ["two dogs in the snow", "a cup of coffee", ""]


@pytest.fixture(scope="module")
def name(tiny_model: Path) -> str:
    return f"ensemble:0.6:embedded+1.8:open_clip:{tiny_model}"


@pytest.fixture(scope="module")
def pair(name: str):
    """The joined encoder, and its two members: 256 and 32 dimensions, photos of 224 and 64 pixels."""
    return load_encoder(name, device="cpu"), [load_encoder(member.name, device="cpu") for member in parse(name)]


def photos() -> list[Image.Image]:
    # decoded: from a file, the second member gets pixels at the scale that the first asked for
    return [Image.open(shipped("photos", name)).convert("RGB") for name in ("cat.jpg", "coffee.jpg", "rocket.jpg")]


def test_the_cosine_of_joined_vectors_is_the_weighted_mean_of_the_members_cosines(pair):
    joined, members = pair
    cosines = joined.embed("text", SENTENCES) @ joined.embed("image", photos()).T
    each = [member.embed("text", SENTENCES) @ member.embed("image", photos()).T for member in members]
    assert np.allclose(cosines, 0.25 * each[0] + 0.75 * each[1], atol=1e-5)


def test_joined_vectors_are_unit_rows_as_long_as_the_members_together(pair):
    joined, _ = pair
    rows = np.concatenate([joined.embed("text", SENTENCES), joined.embed("image", photos())])
    assert rows.shape == (6, joined.dimension) == (6, 256 + 32)
    assert rows.dtype == np.float32
    assert np.allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)


def test_a_row_does_not_depend_on_its_company_and_an_empty_batch_has_none(pair):
    tower = pair[0].tower("text")
    together = tower.embed([tower.prepare(sentence) for sentence in SENTENCES])
    alone = np.concatenate([tower.embed([tower.prepare(sentence)]) for sentence in SENTENCES])
    assert np.allclose(together, alone, atol=1e-5)
    assert tower.embed([]).shape == (0, 288)


def test_a_sentence_fits_if_it_fits_every_member(pair):
    joined, members = pair
    long = "word " * 100  # the shipped encoder sees 128 tokens, the other 77
    assert [member.tower("text").fits(long) for member in members] == [True, False]
    assert not joined.tower("text").fits(long)
    assert joined.tower("text").fits("a dog")


def test_the_member_that_wants_the_largest_photos_sees_them_first(pair, tiny_model):
    # A JPEG is decoded only once, at the scale that whoever asks first needs.
    other_way_round = load_encoder(f"ensemble:open_clip:{tiny_model}+embedded", device="cpu")
    large = Image.open(shipped("photos", "cat.jpg")).resize((2400, 1800))
    for number, encoder in ((0, pair[0]), (1, other_way_round)):
        alone = pair[1][0].tower("image").prepare(_as_jpeg(large))
        assert np.array_equal(encoder.tower("image").prepare(_as_jpeg(large))[number], alone)


def _as_jpeg(picture: Image.Image) -> Image.Image:
    from io import BytesIO

    content = BytesIO()
    picture.save(content, "JPEG")
    return Image.open(BytesIO(content.getvalue()))


def test_its_name_holds_the_members_full_names_and_its_checksum_theirs(pair, name, tiny_model):
    joined, members = pair
    assert joined.name == name
    assert joined.checksum == f"{members[0].checksum}+{members[1].checksum}"
    assert load_encoder(joined.name, device="cpu").name == joined.name
    relative = load_encoder(f"ensemble:open_clip:{tiny_model}/../{tiny_model.name}+embedded", device="cpu")
    assert relative.name == f"ensemble:open_clip:{tiny_model}+embedded"


@pytest.mark.parametrize(
    ("name", "members"),
    [
        ("ensemble:a+b", (Member("a"), Member("b"))),
        ("ensemble:0.7:a:/x/1.5:y+.3:b", (Member("a:/x/1.5:y", 0.7), Member("b", 0.3))),
        ("ensemble: 2:a + b + 0.00001:c", (Member("a", 2), Member("b"), Member("c", 0.00001))),
    ],
)
def test_names_are_read_and_written(name, members):
    assert parse(name) == members
    assert parse(name_of(members)) == members


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("ensemble:", "lacks a member"),
        ("ensemble:embedded", "a single member"),
        ("ensemble:embedded+", "lacks a member"),
        ("ensemble:0.5:+embedded", "lacks a member"),
        ("ensemble:0:embedded+vit-b-32", "the weight 0"),
        ("ensemble:embedded+ensemble:embedded", "an ensemble as a member"),
        ("ensemble:embedded+embeded", "No encoder is called 'embeded'"),
        ("ensemble:-1:embedded+embedded", "No encoder is called '-1:embedded'"),
    ],
)
def test_a_name_that_cannot_be_read_says_why(name, reason):
    with pytest.raises(UnknownEncoder, match=reason):
        load_encoder(name)


def test_a_heavy_text_tower_is_stored_and_a_light_one_taken_from_its_encoder(pair, tmp_path):
    joined, _ = pair
    assert joined.store_text
    joined.store_text(tmp_path / "text")
    joined.store_text(tmp_path / "text")  # and again, over what is there
    assert [path.name for path in tmp_path.iterdir()] == ["text"]
    stored = load_text_tower(tmp_path / "text")
    rows = stored.embed([stored.prepare(sentence) for sentence in SENTENCES])
    assert np.allclose(rows, joined.embed("text", SENTENCES), atol=1e-4)


def test_members_whose_text_towers_are_all_light_need_nothing_stored():
    assert load_encoder("ensemble:embedded+2:embedded").store_text is None


def test_nothing_is_stored_where_one_member_cannot_be(save_model, tmp_path):
    odd = save_model(text={"embed_cls": True}, custom_text=True)
    encoder = load_encoder(f"ensemble:embedded+open_clip:{odd}", device="cpu")
    assert encoder.store_text
    encoder.store_text(tmp_path / "text")
    assert list(tmp_path.iterdir()) == []


def test_a_member_that_has_changed_since_or_files_that_are_damaged_are_refused(pair, tmp_path):
    copy = shutil.copytree(shipped("models", "embedded"), tmp_path / "mine")
    encoder = load_encoder(f"ensemble:embedded:{copy}+{parse(pair[0].name)[1].name}", device="cpu")
    assert encoder.store_text
    encoder.store_text(tmp_path / "text")
    config = json.loads((copy / CONFIG).read_text())
    (copy / CONFIG).write_text(json.dumps(config | {"checksum": "other"}))
    with pytest.raises(EncoderMismatch, match="other weights"):
        load_text_tower(tmp_path / "text")
    (tmp_path / "text" / STORED).write_text("{}[")
    with pytest.raises(EncoderUnavailable, match="delete that folder"):
        load_text_tower(tmp_path / "text")


def test_a_library_of_an_ensemble_is_searched_by_sentence_without_torch(pair, tmp_path):
    joined, _ = pair
    with Library.create(tmp_path / "library", joined) as library:
        index_sources(library, [shipped("photos", "cat.jpg"), shipped("photos", "coffee.jpg")], joined)
    code = (
        "import sys; from indexer import Library; from search import Engine, parse;"
        f"engine = Engine(Library.open({str(tmp_path / 'library')!r}));"
        "print(len(engine.search(parse('a cat'))), {'torch', 'open_clip', 'PIL'} & set(sys.modules))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (result.stdout, result.stderr) == ("2 set()\n", "")


def test_weights_need_not_sum_to_one():
    class Fixed:
        def embed(self, prepared):
            return np.array([[0.6, 0.8]] * len(prepared), np.float32)

    row = JoinedTower([Fixed(), Fixed()], [3, 1]).embed([np.zeros(2)])
    assert np.allclose(row, np.sqrt([[0.75 * 0.36, 0.75 * 0.64, 0.25 * 0.36, 0.25 * 0.64]]))


def test_a_word_is_known_if_a_member_knows_it_and_nothing_is_told_where_a_member_cannot(pair):
    joined, members = pair
    for word in ("dog", "snowboarder", "sonnenuntergang"):
        knows = [member.tower("text").is_whole(word) for member in members]
        assert joined.tower("text").is_whole(word) == any(knows)
    tower = members[0].tower("image")  # tells nothing of words
    assert JoinedTower([tower, members[1].tower("text")], [1, 1]).is_whole is None
