"""The benchmark of approximate search on vectors few enough for a test: its figures have to make sense."""

from evaluation.ann import SHARES, WISHED, synthetic


def test_the_table_tells_recall_time_and_size() -> None:
    (table,) = synthetic(3000, 32).values()
    assert table["vectors"] == {"count": 3000, "dimension": 32}
    assert table["exact"]["recall"] > 0.99  # half precision swaps neighbours now and then
    rows = [table[f"recall {wished:g}"] for wished in WISHED]
    assert [row["probes"] for row in rows] == sorted(row["probes"] for row in rows)
    assert all(row["recall"] > wished - 0.05 for row, wished in zip(rows, WISHED, strict=True))
    assert all(table[f"{share:.1%} allowed"]["recall"] > 0.99 for share in SHARES)  # so few are searched exactly
    assert 2 * 32 + 8 < table["file"]["bytes a vector"] < 3 * 32 + 8
