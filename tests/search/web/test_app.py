"""The REST interface says what `search` says, and refuses in good order."""

from __future__ import annotations

import asyncio
import json
import shutil
import struct
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from threading import Event

import pytest
from painting import later, paint, paint_many
from PIL import Image
from starlette.testclient import TestClient

from indexer import Encoder, Library, index_sources
from indexer.reembedding import reembed
from indexer.testing import COLORS, color_encoder
from indexer.thumbnails import SIDES
from search import Engine, Filter, parse
from search.present.formats import records
from search.query import like
from search.web.app import Size, _unless_hung_up
from search.web.problems import Busy
from search.web.service import Service


def ask(client: TestClient, **asked: object) -> dict[str, object]:
    response = client.post("/api/search", json=asked)
    assert response.status_code == 200, response.text
    answer: dict[str, object] = response.json()
    return answer


def names(hits: object) -> list[str]:
    assert isinstance(hits, list)
    return [Path(hit["path"]).stem for hit in hits]


def ids(client: TestClient) -> dict[str, int]:
    items = client.get("/api/items", params={"limit": 500}).json()["items"]
    return {Path(item["path"]).stem: item["id"] for item in items}


def test_a_question_is_answered_as_the_engine_answers_it(
    client: TestClient, library: Library, encoder: Encoder
) -> None:
    engine = Engine(library, encoder)
    assert ask(client, query="yellow -red", k=4)["hits"] == records(engine.search(parse("yellow -red", k=4)))
    filtered = parse("red", k=9, filters=[Filter("path", "*re*.png"), Filter("path", "red*", negated=True)])
    filters = [{"field": "path", "value": "*re*.png"}, {"field": "path", "value": "red*", "negated": True}]
    assert ask(client, query="red", k=9, filters=filters)["hits"] == records(engine.search(filtered))
    red = ids(client)["red"]
    assert client.get(f"/api/items/{red}/similar", params={"k": 3}).json()["hits"] == records(
        engine.search(like(red, k=3))
    )


def test_terms_are_sentences_items_and_photos_that_come_along(client: TestClient, photos: Path) -> None:
    terms = [{"photo": 0}, {"text": "green"}, {"id": ids(client)["blue"], "weight": 0.1}]
    with (photos / "red.png").open("rb") as photo:
        response = client.post(
            "/api/search", data={"query": json.dumps({"terms": terms, "k": 1})}, files={"photo": photo}
        )
    assert names(response.json()["hits"]) == ["yellow"]
    assert names(ask(client, query="red", terms=[{"text": "green"}], k=1)["hits"]) == ["yellow"]


def test_judged_hits_are_all_there_and_those_that_fit_say_so(client: TestClient) -> None:
    answer = ask(client, query="red", k=8, judge=True)
    assert len(names(answer["hits"])) == len(COLORS)
    fitting = [hit for hit in answer["hits"] if hit.get("probability") is not None]  # type: ignore[attr-defined]
    assert answer["fits"] == len(fitting)
    loosely, strictly = (
        ask(client, query="red", k=8, judge=True, fits=fits)["fits"] for fits in ("loosely", "strictly")
    )
    assert isinstance(strictly, int)
    assert strictly <= len(fitting) <= loosely


@pytest.mark.usefixtures("matcher")
def test_an_answer_is_re_ranked_where_the_server_has_a_model_for_it(client: TestClient) -> None:
    assert client.get("/api/status").json()["reranker"] == "greenest"
    plain, answer = ask(client, query="red", k=3), ask(client, query="red", k=3, judge=True, rerank=True)
    assert names(plain["hits"])[0] == "red"
    greens = {"green", "cyan", "yellow", "white"}
    assert set(names(answer["hits"])) < greens  # the first hundred are ordered anew before k of them are taken
    assert [hit["match"] for hit in answer["hits"]] == [1, 1, 1]  # type: ignore[attr-defined]
    assert "Re-ranked: greenest looked at 3 of these together with the words." in answer["notes"]  # type: ignore[operator]
    whole = ask(client, query="red", k=8, judge=True)
    fitting = {hit["id"] for hit in whole["hits"] if "probability" in hit}  # type: ignore[attr-defined]
    for hit in answer["hits"]:  # type: ignore[attr-defined]
        assert ("probability" in hit) == (hit["id"] in fitting)


def test_a_server_without_a_model_re_ranks_nothing_and_takes_none_from_its_clients(client: TestClient) -> None:
    assert client.get("/api/status").json()["reranker"] == ""
    refused = client.post("/api/search", json={"query": "red", "rerank": True})
    assert (refused.status_code, refused.json()["detail"]) == (
        400,
        "This server re-ranks no answers: `descry serve --rerank MODEL` does.",
    )
    assert client.post("/api/search", json={"query": "red", "rerank": "/models/mine"}).status_code == 422


@pytest.mark.usefixtures("matcher")
def test_what_cannot_be_re_ranked_is_refused(client: TestClient) -> None:
    for asked in ({"query": "red", "sort": "-date"}, {"terms": [{"id": 1}]}, {"query": "-red"}):
        refused = client.post("/api/search", json={**asked, "rerank": True})
        assert refused.status_code == 400
        assert "can be re-ranked" in refused.json()["detail"]


def test_re_ranking_holds_up_nobody_else(client: TestClient, matcher: object, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, may_end = Event(), Event()

    def slow(_self: object, _sentence: str, pictures: list[Image.Image]) -> list[float]:
        begun.set()
        assert may_end.wait(60)
        return [0.5] * len(pictures)

    monkeypatch.setattr(type(matcher), "__call__", slow)
    with ThreadPoolExecutor(1) as others:
        asked = others.submit(ask, client, query="red", k=3, rerank=True)
        try:
            assert begun.wait(60)
            assert names(ask(client, query="red", k=1)["hits"]) == ["red"]
            assert not asked.done()
        finally:
            may_end.set()
        assert names(asked.result()["hits"])[0] == "red"  # equal matches stay in the order of their scores


def test_what_nobody_waits_for_is_not_re_ranked(
    service: Service, matcher: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, may_end, sentences = Event(), Event(), list[str]()

    def slow(_self: object, sentence: str, pictures: list[Image.Image]) -> list[float]:
        sentences.append(sentence)
        begun.set()
        assert may_end.wait(60)
        return [0.5] * len(pictures)

    monkeypatch.setattr(type(matcher), "__call__", slow)
    monkeypatch.setattr("search.web.app.LOOK_EVERY", 0.01)

    class HungUp:
        async def is_disconnected(self) -> bool:
            return True

    asked = [service.ask(parse(words, rerank="greenest"), judge=False) for words in ("red", "green")]
    assert begun.wait(60)
    with pytest.raises(Busy, match="Nobody waits"):
        asyncio.run(_unless_hung_up(HungUp(), asked[1]))  # type: ignore[arg-type]
    may_end.set()
    assert asked[0].result().hits
    assert asked[1].cancelled()
    assert sentences == ["red"]


def test_all_items_come_once_page_by_page_while_the_library_grows(
    client: TestClient, library: Library, encoder: Encoder, photos: Path
) -> None:
    paint_many(photos, 20)
    index_sources(library, [photos], encoder)
    seen, cursor = list[int](), None
    while True:
        params = {"limit": 3, "sort": "-path", **({"cursor": cursor} if cursor else {})}
        page = client.get("/api/items", params=params).json()
        seen += [item["id"] for item in page["items"]]
        cursor = page["next"]
        if len(seen) == 6:
            paint(photos / "zebra.png", (1, 2, 3))  # before all that was shown
            index_sources(library, [photos], encoder)
        if cursor is None:
            break
    assert page["total"] == len(COLORS) + 21
    assert len(seen) == len(set(seen)) == len(COLORS) + 20


def test_the_grid_is_all_items_in_the_order_of_the_pages(client: TestClient, photos: Path, library: Library) -> None:
    Image.new("RGB", (40, 20), "red").save(photos / "wide.png")
    Image.new("RGB", (1, 500), "red").save(photos / "high.png")
    index_sources(library, [photos], color_encoder())
    content = client.get("/api/grid", params={"sort": "path"}).content
    count = len(content) // 10
    numbers = struct.unpack(f"<{count}I{count}i{count}H", content)
    page = client.get("/api/items", params={"sort": "path", "limit": 500}).json()["items"]
    assert list(numbers[:count]) == [item["id"] for item in page]
    shapes = dict(zip((Path(item["path"]).stem for item in page), numbers[2 * count :], strict=True))
    assert (shapes["red"], shapes["wide"], shapes["high"]) == (256, 512, 64)


def test_what_a_question_says_of_dates_and_colours_is_told_as_filters(client: TestClient) -> None:
    told = client.get("/api/reading", params={"text": "a dog in b&w, in May 2023"}).json()
    assert told["text"] == "a dog"
    assert [(one["field"], one["value"]) for one in told["filters"]] == [
        ("colour", "black-and-white"),
        ("colour", "sepia"),
        ("on", "2023-05-01 to 2023-05-31"),
    ]
    assert client.get("/api/reading", params={"text": "a dog"}).json() == {"text": "a dog", "filters": []}


def test_facets_count_what_the_filters_let_through(client: TestClient, photos: Path) -> None:
    every = client.get("/api/facets").json()
    assert every["total"] == len(COLORS)
    assert every["facets"]["in"] == {str(photos): len(COLORS)}
    some = client.get("/api/facets", params={"filter": "path=*re*.png", "exclude": "path=red*"}).json()
    assert some["total"] == 1


def test_an_item_tells_its_facts_tags_and_captions(
    client: TestClient, library: Library, encoder: Encoder, photos: Path
) -> None:
    (photos / 'it\'s "so".png').write_bytes((photos / "red.png").read_bytes())
    (photos / 'it\'s "so".txt').write_text("A caption.")
    (photos / "green.txt").write_text("Another.")
    index_sources(library, [photos], encoder)
    item = client.get(f"/api/items/{ids(client)['it' + chr(39) + 's ' + chr(34) + 'so' + chr(34)]}").json()
    assert item["facts"]["width"] == 8
    assert item["captions"] == ["A caption."]
    assert item["tags"] == {}


def test_thumbnails_are_small_upright_and_kept(
    client: TestClient, library: Library, encoder: Encoder, photos: Path, service: Service
) -> None:
    lying = Image.new("RGB", (2000, 1000), "red")
    exif = Image.Exif()
    exif[0x0112] = 6
    lying.save(photos / "lying.jpg", exif=exif)
    index_sources(library, [photos], encoder)
    id = ids(client)["lying"]
    response = client.get(f"/api/items/{id}/thumbnail")
    drawn = Image.open(BytesIO(response.content))
    assert (response.headers["content-type"], drawn.size) == ("image/jpeg", (250, 500))
    assert not drawn.getexif()
    kept = service.status()["thumbnails"]
    assert kept["count"] == 1 and len(response.content) <= kept["bytes"] < 100_000
    again = client.get(f"/api/items/{id}/thumbnail", headers={"If-None-Match": response.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    shutil.move(photos / "lying.jpg", photos / "moved.jpg")
    index_sources(library, [photos], encoder)
    assert client.get(f"/api/items/{id}/thumbnail").content == response.content
    assert service.status()["thumbnails"]["count"] == 1


def test_a_photo_that_changed_since_shows_its_new_face_and_keeps_none(
    client: TestClient, photos: Path, service: Service
) -> None:
    id = ids(client)["red"]
    paint(photos / "red.png", "blue")
    later(photos / "red.png")
    with Image.open(BytesIO(client.get(f"/api/items/{id}/thumbnail").content)) as drawn:
        assert drawn.convert("RGB").getpixel((0, 0))[2] > 200  # type: ignore[index]
    assert service.status()["thumbnails"]["count"] == 0


def test_originals_come_as_they_are_and_what_browsers_do_not_show_as_downloads(
    client: TestClient, library: Library, encoder: Encoder, photos: Path
) -> None:
    name = "<img src=x onerror=alert(1)> ü.bmp"
    paint(photos / name)
    paint(photos / "deep.tif")
    index_sources(library, [photos], encoder)
    known = ids(client)
    bitmap = client.get(f"/api/items/{known[name.removesuffix('.bmp')]}/original")
    assert bitmap.content == (photos / name).read_bytes()
    assert bitmap.headers["content-type"] == "image/bmp"
    assert bitmap.headers["content-disposition"] == (
        "inline; filename*=UTF-8''%3Cimg%20src%3Dx%20onerror%3Dalert%281%29%3E%20%C3%BC.bmp"
    )
    tiff = client.get(f"/api/items/{known['deep']}/original")
    assert tiff.headers["content-disposition"].startswith("attachment")
    assert tiff.headers["content-type"] == "application/octet-stream"
    part = client.get(f"/api/items/{known['red']}/original", headers={"Range": "bytes=1-3"})
    assert (part.status_code, part.content) == (206, b"PNG")


def test_where_in_a_photo_a_sentence_fits_is_told_cell_by_cell(
    client: TestClient, library: Library, encoder: Encoder, photos: Path
) -> None:
    halves = Image.new("RGB", (4, 4), "blue")
    halves.paste((255, 0, 0), (2, 0, 4, 4))
    halves.save(photos / "halves.png")
    index_sources(library, [photos], encoder)
    told = client.get(f"/api/items/{ids(client)['halves']}/explain", params={"sentence": "red"}).json()
    assert told["box"] == [0, 0, 1, 1]
    assert [[cell > 0.9 for cell in row] for row in told["cells"]] == [[False, False, True, True]] * 4
    assert told["place"][0] > 0.5


@pytest.mark.parametrize(
    ("method", "address", "status", "said"),
    [
        ("get", "/api/items/4711", 404, "holds nothing under id 4711"),
        ("get", "/api/items/4711/similar", 404, "holds nothing under id 4711"),
        ("get", "/api/items/4711/thumbnail", 404, "holds nothing under id 4711"),
        ("get", "/api/items/0", 422, "greater than or equal to 1"),
        ("get", "/api/items/9999999999999999999", 422, "less than or equal"),
        ("get", "/api/items/../../etc/passwd", 404, "Not Found"),
        ("get", "/api/items?cursor=x", 422, "cursor"),
        ("get", "/api/items?sort=colour", 400, "cannot be sorted by 'colour'"),
        ("get", "/api/items?filter=flavour=red", 400, "Nothing is filtered by 'flavour'"),
        ("get", "/api/items?modality=smell", 400, "'smell' cannot be looked for"),
        ("get", "/api/grid?filter=on=yesterday-ish", 400, "cannot be understood"),
        ("put", "/api/search", 405, "Method Not Allowed"),
        ("get", "/static/../guard.py", 404, "Not Found"),
    ],
)
def test_what_is_wrong_is_said_as_a_problem(
    client: TestClient, method: str, address: str, status: int, said: str
) -> None:
    response = client.request(method, address)
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert (response.status_code, problem["status"]) == (status, status)
    assert said in problem["detail"]


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        ({}, 400),
        ({"query": "red", "colour": 1}, 422),
        ({"query": "red", "k": 0}, 422),
        ({"query": "red", "terms": [{"text": "a", "id": 1}]}, 422),
        ({"query": "red", "terms": [{"text": "a", "weight": 1e9}]}, 422),
        ({"terms": [{"photo": 0}]}, 400),
        ({"query": "id:4711"}, 400),
        ({"query": "red - red"}, 400),
        ({"query": "x" * 2001}, 422),
    ],
)
def test_questions_that_make_no_sense_are_refused(client: TestClient, asked: object, status: int) -> None:
    assert client.post("/api/search", json=asked).status_code == status


def test_a_broken_body_and_a_broken_photo_are_refused(client: TestClient) -> None:
    assert client.post("/api/search", content=b"{", headers={"content-type": "application/json"}).status_code == 422
    form = {"query": '{"terms": [{"photo": 0}]}'}
    refused = client.post("/api/search", data=form, files={"photo": b"no photo"})
    assert refused.status_code == 400
    assert "photo 0 cannot be searched with" in refused.json()["detail"]
    assert "/" not in refused.json()["detail"]  # where the server kept it is nobody's business
    many = [("photo", b"")] * 9
    assert client.post("/api/search", data=form, files=many).status_code == 400


def test_no_name_in_a_question_is_looked_for_on_the_disk(client: TestClient, photos: Path) -> None:
    inside = ask(client, query=f"{photos / 'red.png'}", k=8)
    outside = ask(client, query="/nowhere/red.png", k=8)
    assert names(inside["hits"]) == names(outside["hits"])


def test_a_file_that_is_gone_is_told_from_one_that_cannot_be_read(client: TestClient, photos: Path) -> None:
    known = ids(client)
    (photos / "red.png").unlink()
    (photos / "green.png").write_bytes(b"no photo")
    (photos / "blue.png").unlink()
    (photos / "blue.png").mkdir()
    for what in ("thumbnail", "original"):
        assert client.get(f"/api/items/{known['red']}/{what}").status_code == 410
        assert client.get(f"/api/items/{known['blue']}/{what}").status_code == 410
    unreadable = client.get(f"/api/items/{known['green']}/thumbnail")
    assert (unreadable.status_code, unreadable.json()["detail"]) == (
        422,
        "it is not a photo in any format that can be read",
    )


def test_what_has_not_changed_is_not_sent_again(
    client: TestClient, library: Library, encoder: Encoder, photos: Path
) -> None:
    for address in ("/api/items?limit=3", "/api/facets", "/api/grid", f"/api/items/{ids(client)['red']}", "/"):
        tag = client.get(address).headers["etag"]
        assert client.get(address, headers={"If-None-Match": tag}).status_code == 304
    paint(photos / "new.png", (9, 9, 9))
    index_sources(library, [photos], encoder)
    tag = client.get("/api/grid").headers["etag"]
    assert client.get("/api/facets", headers={"If-None-Match": tag}).status_code == 200


def test_a_library_that_changes_is_noticed(
    client: TestClient, library: Library, photos: Path, encoder: Encoder
) -> None:
    assert len(names(ask(client, query="red")["hits"])) == len(COLORS)
    paint(photos / "new.png", (250, 0, 0))
    index_sources(library, [photos], encoder)
    assert "new" in names(ask(client, query="red")["hits"])
    reembed(library, color_encoder(checksum="1"))
    assert client.post("/api/search", json={"query": "red"}).status_code == 503  # the encoder was given, here


def test_a_library_that_is_replaced_is_noticed(
    client: TestClient, library: Library, encoder: Encoder, tmp_path: Path
) -> None:
    ask(client, query="red")
    paint(tmp_path / "others" / "other.png", "red")
    with Library.create(tmp_path / "new", encoder) as other:
        index_sources(other, [tmp_path / "others"], encoder)
    library.path.rename(tmp_path / "old")
    gone = client.get("/api/items")
    assert (gone.status_code, "There is no library" in gone.json()["detail"]) == (503, True)
    (tmp_path / "new").rename(library.path)
    assert names(client.get("/api/items").json()["items"]) == ["other"]
    assert names(ask(client, query="red")["hits"]) == ["other"]


def test_the_document_describes_every_route_and_its_refusals(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    for path, operations in document["paths"].items():
        for operation in operations.values():
            assert operation["summary"], path
            assert {"200", "400", "422", "500"} <= operation["responses"].keys(), path
            for status, response in operation["responses"].items():
                if status >= "400":
                    assert list(response["content"]) == ["application/problem+json"]
    assert {"Problem", "SearchIn", "TermIn"} <= document["components"]["schemas"].keys()


def test_a_fault_of_ours_is_said_without_its_inside(
    client: TestClient, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    client._transport.raise_server_exceptions = False  # type: ignore[attr-defined]
    monkeypatch.setattr(service, "status", lambda: {}["secret"])
    response = client.get("/api/status")
    assert (response.status_code, response.headers["content-type"]) == (500, "application/problem+json")
    assert "secret" not in response.text
    assert response.headers["x-content-type-options"] == "nosniff"


def test_each_shot_of_a_film_has_its_thumbnail_and_the_film_is_played(
    client: TestClient, library: Library, encoder: Encoder, photos: Path
) -> None:
    pytest.importorskip("av", reason="PyAV is not installed: pip install 'descry[video]'")
    from films import film

    path = film(photos / "film.mp4", ["red", "blue"])
    index_sources(library, [photos], encoder)
    page = client.get("/api/items", params={"modality": "video", "sort": "path"}).json()
    assert [item["part"] for item in page["items"]] == ["t0", "t2"]
    (best, _) = ask(client, query="blue", wanted="video")["hits"]
    assert best["part"] == "t2"
    for item, seen in zip(page["items"], [(254, 0, 0), (0, 0, 254)], strict=True):
        content = client.get(f"/api/items/{item['id']}/thumbnail").content
        with Image.open(BytesIO(content)) as drawn:
            assert drawn.getpixel((40, 40)) == pytest.approx(seen, abs=12)
        original = client.get(f"/api/items/{item['id']}/original")
        assert original.headers["content-type"] == "video/mp4"
        assert original.content == path.read_bytes()
        heat = client.get(f"/api/items/{item['id']}/explain", params={"sentence": "red"}).json()
        assert (heat["best"] > 0.9) == (item["part"] == "t0")


def test_every_size_of_thumbnails_can_be_asked_for() -> None:
    assert set(Size) == set(SIDES)
