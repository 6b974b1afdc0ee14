"""What requests and answers of the REST interface look like; the OpenAPI document is made of these."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from search.query import PICTURES

# SQLite's greatest integer, beyond which no id lies.
GREATEST_ID = 2**63 - 1

# Hits of one answer, ids of one request.
HITS_AT_MOST = 10_000

# Characters of a question: ten times what the longest context of a text tower takes.
QUESTION = 2000

# Photos that one question may bring along.
PHOTOS_AT_MOST = 4


ALL_PICTURES = ",".join(PICTURES)


class RequestModel(BaseModel):
    """A part of a request. A field that is misspelt is refused instead of ignored."""

    model_config = ConfigDict(extra="forbid")


class TermIn(RequestModel):
    """A part of a question: a sentence, an item of the library, or a photo that came with the request."""

    text: str | None = Field(None, min_length=1, max_length=QUESTION, description="A sentence.")
    id: int | None = Field(None, ge=1, le=GREATEST_ID, description="An item of the library.")
    photo: int | None = Field(None, ge=0, lt=PHOTOS_AT_MOST, description="The uploaded photo of that number, from 0.")
    weight: float = Field(1.0, ge=-100, le=100, allow_inf_nan=False, description="Below 0 it is taken away.")

    @model_validator(mode="after")
    def _one(self) -> TermIn:
        if sum(value is not None for value in (self.text, self.id, self.photo)) != 1:
            raise ValueError("a term is one of text, id and photo")
        return self


class FilterIn(RequestModel):
    """A condition on what may be found at all, as on the command line: `{"field": "camera", "value": "canon"}`."""

    field: str = Field(max_length=40, description="One of the filters of `descry search --help`, without dashes.")
    value: str = Field("", max_length=QUESTION)
    negated: bool = Field(False, description="Lets through what the filter does not.")


class SearchIn(RequestModel):
    """A question, as `search.Query` has it. What it asks for is `query`, in words, and `terms`, added up."""

    query: str = Field("", max_length=QUESTION, description='Words, as of the command line: "a beach -people id:12".')
    terms: list[TermIn] = Field([], max_length=50)
    filters: list[FilterIn] = Field([], max_length=100)
    k: int = Field(50, ge=1, le=HITS_AT_MOST, description="Hits at most.")
    wanted: str = Field(ALL_PICTURES, max_length=40, description="The modalities of the hits: image, video, text ...")
    sort: str = Field("relevance", max_length=40, description="relevance, or an order of `descry list --help`.")
    relevant: bool = Field(False, description="Only what fits, each with the probability that it does.")
    fits: Literal["loosely", "normally", "strictly"] = Field("normally", description="How strictly what fits is told.")
    unique: bool = Field(False, description="Folds what is nearly the same into its best.")
    diverse: bool = Field(False, description="Prefers variety.")
    by_words: bool | None = Field(
        False, description="Looks the words up too, among names, captions and texts; null: those that few items hold."
    )
    best_of_each: bool = Field(False, description="What resembles any of the terms instead of their sum.")
    include_self: bool = Field(False, description="Lets an item find itself.")
    right: list[Annotated[int, Field(ge=1, le=GREATEST_ID)]] = Field(
        [], max_length=1000, description="Hits that were marked as right: the question is drawn to them."
    )
    wrong: list[Annotated[int, Field(ge=1, le=GREATEST_ID)]] = Field(
        [], max_length=1000, description="Hits that were marked as wrong: the question is drawn away from them."
    )
    rerank: bool = Field(
        False, description="Orders the first hundred by looking at words and photo together, if the server has a model."
    )
    judge: bool = Field(False, description="Gives the hits that fit their probability, and keeps the others.")


class TagIn(RequestModel):
    """A tag for items, or to be taken off them."""

    tag: str = Field(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f]*[^\s\x00-\x1f\x7f][^\x00-\x1f\x7f]*$")
    ids: list[Annotated[int, Field(ge=1, le=GREATEST_ID)]] = Field(min_length=1, max_length=HITS_AT_MOST)
    remove: bool = False


class IndexIn(RequestModel):
    """A folder to index, at or below a folder that `GET /api/folders` tells of."""

    path: str = Field(min_length=1, max_length=4096)


class Item(BaseModel):
    """One findable thing. `facts` hold what is known: width, height, taken, camera, file_size, modified ..."""

    id: int
    modality: str
    path: str
    part: str
    text: str
    missing: bool = Field(description="Whether its file is gone.")
    facts: dict[str, Any]


class Hit(Item):
    """An item that was found; what is not there was not asked for."""

    rank: int
    score: float = Field(description="The cosine with the question.")
    probability: float | None = Field(None, description="That it fits the question.")
    alike: int | None = Field(None, description="Near-duplicates folded into it.")
    penalty: float | None = Field(None, description="What it pays for resembling what was taken away.")
    rank_score: float | None = None
    match: float | None = Field(None, description="How well it matches the words, where the answer was re-ranked.")


class Found(BaseModel):
    """An answer. `fits` counts the hits that fit, None if that was not asked for; `notes` are for people."""

    hits: list[Hit]
    fits: int | None
    notes: list[str]


class Page(BaseModel):
    """Items in order. `next` is the cursor of the next page, None on the last; `total` counts all pages' items."""

    items: list[Item]
    total: int
    next: str | None


class Detail(Item):
    """An item with its tags, each with its probability, and what the library's captions say of it."""

    tags: dict[str, float]
    captions: list[str]


class Facets(BaseModel):
    """How many items there are by each value of each filter: folders, cameras, types, months, tags, colours."""

    total: int
    facets: dict[str, dict[str, int]]


class Suggestion(BaseModel):
    """A value of a filter and how many items it lets through, or, without a field, a whole line."""

    field: str
    value: str
    count: int


class Suggestions(BaseModel):
    """What a line may become, the likeliest first."""

    suggestions: list[Suggestion]


class ReadFilter(BaseModel):
    """A filter that words of a question were read as; those of one field are alternatives."""

    field: str
    value: str
    negated: bool
    said: str


class Reading(BaseModel):
    """A question without what was read of it as filters, and these."""

    text: str
    filters: list[ReadFilter]


class Explained(BaseModel):
    """How a sentence fits a photo: as a whole, in each cell, and what the cells cover in shares of width and height."""

    sentence: str
    score: float
    best: float
    place: list[float] = Field(description="The middle of what fits best, from the left and from the top.")
    box: list[float] = Field(description="Left, top, right, bottom, perhaps beyond the edges.")
    cells: list[list[float]] = Field(description="Cosines, row by row.")


class Folder(BaseModel):
    """A folder or file that was indexed, and whether it is there now."""

    path: str
    there: bool


class Kept(BaseModel):
    """The thumbnails that are kept: how many, and their bytes."""

    count: int
    bytes: int


class Status(BaseModel):
    """What the library holds. `revision` rises with every change, `size` are bytes; `reranker` is "" where none is."""

    library: str
    version: str
    encoder: str
    reranker: str
    revision: int
    items: dict[str, int]
    size: int
    failed: int
    thumbnails: Kept
    folders: list[Folder]


class Tags(BaseModel):
    """How many items bear each tag."""

    tags: dict[str, int]


class GroupOfItems(BaseModel):
    """Photos that are alike, the most typical first, in words of a vocabulary."""

    name: str
    photos: int
    ids: list[int]


class Groups(BaseModel):
    """The library's photos in groups, the largest first."""

    groups: list[GroupOfItems]


class Map(BaseModel):
    """Where photos lie by likeness: id, x and y in 0..1 from the upper left, and the number of the group."""

    photos: list[Annotated[list[float], Field(min_length=4, max_length=4)]]
    groups: list[str]


class Copy(Item):
    """A photo beside the best of its group."""

    reason: str = Field(description="exact, near-exact or burst")
    detail: str


class Duplicate(BaseModel):
    """A photo that is there several times."""

    best: Item
    others: list[Copy]


class Duplicates(BaseModel):
    """Groups of copies. Nothing is changed on disk."""

    groups: list[Duplicate]


class Folders(BaseModel):
    """Folders that may be indexed, or those within one."""

    folders: list[str]


class Cancelled(BaseModel):
    """Whether a run was under way."""

    cancelled: bool


class Problem(BaseModel):
    """What was refused and why, by RFC 9457."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    errors: list[dict[str, Any]] | None = Field(None, description="Which fields are wrong, and how.")
