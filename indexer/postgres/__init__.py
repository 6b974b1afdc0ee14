"""A library on a PostgreSQL server with pgvector, which many indexers write and many searchers read."""
