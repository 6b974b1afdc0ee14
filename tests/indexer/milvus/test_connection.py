"""Addresses of Milvus: what they say, and what is shown of them."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("pymilvus", reason="pymilvus is not installed: pip install 'descry[milvus]'")

from indexer.errors import LibraryError
from indexer.milvus.connection import read_address

CATALOG = "catalog=postgresql://ann:secret@db.example/library?sslmode=require&connect_timeout=3"


def test_an_address_has_the_catalogs_as_it_is() -> None:
    address = read_address(f"milvus://milvus.example/photos?{CATALOG}")
    assert (address.uri, address.catalog) == ("http://milvus.example:19530", CATALOG.partition("=")[2])
    assert address.options == {"db_name": "photos"}
    assert "secret" not in address.shown and "ann@db.example" in address.shown


def test_what_is_said_of_tls_goes_through() -> None:
    address = read_address(f"milvus://milvus.example:443?ca_pem_path=/etc/ca.pem&server_name=milvus&{CATALOG}")
    assert address.uri == "https://milvus.example:443"
    assert address.options == {"ca_pem_path": "/etc/ca.pem", "server_name": "milvus"}
    assert read_address(f"milvus://h?secure=true&timeout=3&{CATALOG}").uri == "https://h:19530"
    assert read_address(f"milvus://h?timeout=3&{CATALOG}").timeout == 3.0


def test_who_asks_is_in_the_environment_a_file_or_the_address(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("MILVUS_TOKEN", "MILVUS_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)
    assert read_address(f"milvus://h?{CATALOG}").token == ""
    monkeypatch.setenv("MILVUS_TOKEN", "root:Milvus")
    assert read_address(f"milvus://h?{CATALOG}").token == "root:Milvus"
    (tmp_path / "token").write_text("key\n")
    monkeypatch.setenv("MILVUS_TOKEN_FILE", str(tmp_path / "token"))
    assert read_address(f"milvus://h?{CATALOG}").token == "key"
    address = read_address(f"milvus://ann:hidden@h?{CATALOG}")
    assert (address.token, "hidden" in address.shown) == ("ann:hidden", False)
    monkeypatch.setenv("MILVUS_TOKEN_FILE", str(tmp_path / "none"))
    with pytest.raises(LibraryError, match="MILVUS_TOKEN_FILE"):
        read_address(f"milvus://h?{CATALOG}")


@pytest.mark.parametrize(
    "address",
    [
        "milvus://ann:secret@127.0.0.1:19530",
        "milvus://ann:secret@127.0.0.1:19530/photos?secure=true",
        "milvus://ann:sec@secret@h?catalog=postgresql://h/d",
        "milvus://h?nonsense=1&catalog=postgresql://ann:secret@h/d",
        "milvus://h?secure=maybe&catalog=postgresql://ann:secret@h/d",
        "milvus://h?timeout=long&catalog=postgresql://ann:secret@h/d",
        "milvus://h?catalog=/home/ann/secret",
    ],
)
def test_what_cannot_be_read_is_one_line_without_the_password(address: str) -> None:
    with pytest.raises(LibraryError) as raised:
        read_address(address)
    assert str(raised.value).startswith("The address milvus://")
    assert "\n" not in str(raised.value) and "secret" not in str(raised.value)
