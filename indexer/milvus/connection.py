"""A connection to Milvus and the one collection of a library there; its errors in our words."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from indexer.errors import LibraryError
from indexer.items import Float32Array, Int64Array
from indexer.milvus.expressions import FOLDED, NUMBERS, TEXTS
from indexer.postgres.connection import shown as shown_postgres

os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # before it is imported: what goes wrong is told once, by us

import grpc
from pymilvus import DataType, MilvusClient, MilvusException

logging.getLogger("pymilvus").setLevel(logging.CRITICAL + 1)

# What an address looks like; the catalog's comes last, as it is.
ADDRESS = re.compile(
    r"milvus://(?:(?P<user>[^:@/?#]*)(?P<password>:[^@/?#]*)?@)?(?P<host>[^@/?#]+)(?:/(?P<database>[^@/?#]*))?"
    r"\?(?P<options>(?:(?!catalog=)[^?#&=]+=[^?#&]*&)*)catalog=(?P<catalog>postgres(?:ql)?://.*)",
    re.IGNORECASE,
)
FORM = "milvus://HOST:PORT/DATABASE?catalog=postgresql://USER@HOST:PORT/DATABASE"

# What pymilvus is told of TLS; `secure=true` alone trusts whom the system trusts.
TLS = ("secure", "ca_pem_path", "client_pem_path", "client_key_path", "server_pem_path", "server_name")

# Seconds to wait for the server to answer, unless the address says another.
PATIENCE = 10.0

# Neighbours of each vector in HNSW, and how many are looked at to choose them: Milvus's own defaults are 30 and 360.
HNSW = {"M": 16, "efConstruction": 200}

# Milvus finds so many for a question, at most.
MOST_FOUND = 16_384

# What stands for a number that is not known.
UNKNOWN = -1e9

# Bytes of a text, at most.
TEXT_BYTES = 65_535


class Address(NamedTuple):
    """Where a library's vectors are, and its catalog; `token` is who asks."""

    shown: str
    uri: str
    catalog: str
    token: str
    options: Mapping[str, Any]

    @property
    def timeout(self) -> float:
        """Seconds to wait for an answer."""
        return float(self.options.get("timeout", PATIENCE))


def shown(address: str) -> str:
    """An address without its passwords.

    >>> shown("milvus://ann:secret@milvus.example:19530/photos?secure=true&catalog=postgresql://ann:secret@db/library")
    'milvus://ann@milvus.example:19530/photos?secure=true&catalog=postgresql://ann@db/library'
    """
    match = ADDRESS.fullmatch(address)
    if match is None:
        return "milvus://..."
    user = f"{match['user']}@" if match["user"] else ""
    database = f"/{match['database']}" if match["database"] else ""
    return f"milvus://{user}{match['host']}{database}?{match['options']}catalog={shown_postgres(match['catalog'])}"


def read_address(address: str) -> Address:
    """What an address says. Raises `LibraryError` where it cannot be read."""
    match = ADDRESS.fullmatch(address)
    if match is None:
        raise LibraryError(f"The address milvus://... cannot be read: it is {FORM}, the catalog's last.")
    given = dict(option.split("=", 1) for option in match["options"].split("&") if option)
    if unknown := given.keys() - {*TLS, "timeout"}:
        raise LibraryError(
            f"The address {shown(address)} holds an option that is not known ({min(unknown)}): there are "
            f"{', '.join(TLS)} and timeout."
        )
    options: dict[str, Any] = {name: value for name, value in given.items() if name != "secure"}
    secure = given.get("secure", "true" if given.keys() & {*TLS} else "false").lower()
    try:
        if secure not in ("true", "false"):
            raise ValueError
        if "timeout" in options:
            options["timeout"] = float(options["timeout"])
    except ValueError:
        raise LibraryError(
            f"The address {shown(address)} cannot be read: secure is true or false, timeout is seconds."
        ) from None
    scheme = "https" if secure == "true" else "http"
    host = match["host"] if re.search(r":\d+$", match["host"]) else f"{match['host']}:19530"
    database = {"db_name": match["database"]} if match["database"] else {}
    token = f"{match['user']}{match['password']}" if match["password"] else _token()
    return Address(shown(address), f"{scheme}://{host}", match["catalog"], token, options | database)


def _token() -> str:
    """Who asks, "user:password" or a key, as the environment or a file that it names has it."""
    if file := os.environ.get("MILVUS_TOKEN_FILE"):
        try:
            return Path(file).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError):
            raise LibraryError(f"The file {file}, of $MILVUS_TOKEN_FILE, cannot be read.") from None
    return os.environ.get("MILVUS_TOKEN", "")


class Collection:
    """The vectors of a library in Milvus, by their ids, each with the facts that filters ask for."""

    def __init__(self, address: Address, name: str) -> None:
        """Raises `LibraryError` for a server that does not answer or lets nobody in."""
        self.shown, self.name, self._timeout = address.shown, name, address.timeout
        with self._in_our_words():
            self._client: Any = MilvusClient(
                address.uri, token=address.token, **({"timeout": address.timeout} | dict(address.options))
            )

    def is_there(self) -> bool:
        """Whether the collection has been made; then it is in Milvus's memory from here on."""
        with self._in_our_words():
            if not self._client.has_collection(self.name, timeout=self._timeout):
                return False
            self._client.load_collection(self.name, timeout=self._timeout)
            return True

    def create(self, dimension: int) -> None:
        """Makes it, for vectors of that length; a partition holds some of the modalities."""
        schema = MilvusClient.create_schema(auto_id=False)
        schema.add_field("id", DataType.INT64, is_primary=True)
        schema.add_field("modality", DataType.VARCHAR, max_length=64, is_partition_key=True)
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=dimension)
        for name in NUMBERS:
            schema.add_field(name, DataType.DOUBLE)
        for name in (*TEXTS, *FOLDED):
            schema.add_field(name, DataType.VARCHAR, max_length=TEXT_BYTES)
        index = MilvusClient.prepare_index_params()
        index.add_index("vector", index_type="HNSW", metric_type="IP", params=HNSW)
        with self._in_our_words():
            self._client.create_collection(
                self.name, schema=schema, index_params=index, consistency_level="Strong", timeout=self._timeout
            )

    def drop(self) -> None:
        """Takes it away."""
        with self._in_our_words():
            self._client.drop_collection(self.name, timeout=self._timeout)

    def upsert(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Stores vectors with their facts; a row of an id that is there takes the place of the old one."""
        if rows:
            with self._in_our_words():
                self._client.upsert(self.name, list(rows), timeout=self._timeout)

    def delete(self, ids: Sequence[int]) -> None:
        """Takes vectors out; ids that are not there are no error."""
        if ids:
            with self._in_our_words():
                self._client.delete(self.name, ids=list(ids), timeout=self._timeout)

    def count(self) -> int:
        """How many vectors there are."""
        with self._in_our_words():
            (row,) = self._client.query(self.name, filter="", output_fields=["count(*)"], timeout=self._timeout)
        return int(row["count(*)"])

    def nearest(self, query: Float32Array, expression: str, limit: int, *, ef: int) -> tuple[Int64Array, float]:
        """The ids `[n]` of the nearest to a query `[dim]`, and the last one's score: -inf if there are no others."""
        with self._in_our_words():
            (hits,) = self._client.search(
                self.name,
                [query.tolist()],
                anns_field="vector",
                filter=expression,
                limit=limit,
                output_fields=["id"],
                search_params={"metric_type": "IP", "params": {"ef": ef}},
                consistency_level="Strong",
                timeout=self._timeout,
            )
        last = float(hits[-1]["distance"]) if len(hits) == limit else -np.inf
        return np.array([hit["id"] for hit in hits], np.int64), last

    def close(self) -> None:
        """Closes the connection."""
        with suppress(MilvusException, grpc.RpcError):
            self._client.close()

    @contextmanager
    def _in_our_words(self) -> Iterator[None]:
        """Turns the server's errors into `LibraryError`, each a line without a password."""
        try:
            yield
        except (MilvusException, grpc.RpcError, OSError) as error:
            told = getattr(error, "message", "") or getattr(error, "strerror", "") or type(error).__name__
            raise LibraryError(
                f"The vectors of the library {self.shown} cannot be asked for ({str(told).splitlines()[0]}): see that "
                "Milvus runs, and whom it lets in."
            ) from error
