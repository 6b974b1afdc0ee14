"""Vector search: each peer one file, which its own environment runs, and a row here.

The files import numpy, the standard library and their peer, nothing else: their environments hold no Descry.
"""

from __future__ import annotations

from benchmarks.peers import Row

# It holds numpy below 2, and pyarrow's newer wheels were built for numpy 2.
AUTOFAISS = ("autofaiss==2.18.0", "pyarrow==15.0.2")

PEERS: dict[str, Row] = {
    "descry": Row("descry_index", (), "what `descry optimize` chooses for recall 0.98"),
    "descry exact": Row("descry_exact", (), "the index of a library that was not optimized"),
    "faiss flat": Row("faiss_flat", ("faiss-cpu==1.15.1",), "exact, float32"),
    "hnswlib": Row("hnswlib_graph", ("hnswlib==0.8.0", "numpy==2.4.6"), "M 16, ef_construction 200, float32"),
    "usearch": Row("usearch_graph", ("usearch==2.26.6", "numpy==2.4.6"), "defaults, float16"),
    "sqlite-vec": Row("sqlite_vec_table", ("sqlite-vec==0.1.9", "apsw==3.54.1.0", "numpy==2.4.6"), "exact, float32"),
    "lancedb": Row("lancedb_flat", ("lancedb==0.40.0", "numpy==2.4.6"), "without an index: exact, float32"),
    "lancedb ivf": Row(
        "lancedb_index", ("lancedb==0.40.0", "numpy==2.4.6"), "its default index, IVF_PQ, refined by whole vectors"
    ),
    "autofaiss": Row("autofaiss_choice", AUTOFAISS, "what it chooses for 4 GB of memory"),
}
