"""A shared library whose nearest vectors are found by Milvus, beside its catalog in PostgreSQL."""
