"""Vectors and what they belong to, out of a library into a file and from files into a library."""

from __future__ import annotations

from indexer.transfer.exporting import export
from indexer.transfer.importing import Imported, encoder_of, import_into, open_embeddings

__all__ = ["Imported", "encoder_of", "export", "import_into", "open_embeddings"]
