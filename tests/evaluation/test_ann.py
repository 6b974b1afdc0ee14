"""The benchmark of approximate search on vectors few enough for a test: its figures have to make sense."""

from evaluation.ann import SHARES, WISHED, synthetic
from indexer.nearest.tuning import READ_COSTS


def test_the_table_tells_recall_time_and_size() -> None:
    (table,) = synthetic(3000, 32).values()
    assert table["vectors"] == {"count": 3000, "dimension": 32}
    rows = [table[f"recall {wished:g}"] for wished in WISHED]
    work = [row["nprobe"] * 3000 / row["nlist"] + READ_COSTS * row["refine_k"] for row in rows]
    assert work == sorted(work)  # more has to be looked at to find more
    assert all(row["recall"] > wished - 0.05 for row, wished in zip(rows, WISHED, strict=True))
    assert all(table[f"{share:.1%} allowed"]["recall"] > 0.95 for share in SHARES)
    sample = 2 * 32 * 2048 / 3000  # that stands for all
    assert 32 / 8 + 8 + 8 < table["file"]["bytes a vector"] - sample < 32 / 8 + 8 + 8 + 12
