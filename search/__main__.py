"""Where `descry` and `python -m search` start."""

import os


def run() -> None:
    """Runs the command line."""
    # numpy's BLAS reads this when it is imported. One sentence is too little work for two threads: waiting
    # for each other on a busy machine they took a second for what one does in 50 ms (ViT-B/32).
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from search.cli import main

    main(prog_name="descry")


if __name__ == "__main__":
    run()
