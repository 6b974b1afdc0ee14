"""What a library keeps: `catalog` is the single source of truth, in SQLite and a flat file of vectors beside it."""
