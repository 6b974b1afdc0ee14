"""Where `descry` and `python -m search` start."""

import os


def run() -> None:
    """Runs the command line, and ends the process."""
    # numpy's BLAS reads this when it is imported. One sentence is too little work for two threads: waiting
    # for each other on a busy machine they took a second for what one does in 50 ms (ViT-B/32).
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from search.cli import main
    from search.terminal import leave, prepare

    prepare()
    try:
        main(prog_name="descry")
    except SystemExit as ended:  # click's way to return
        # Nothing is left to be cleared away, and where FAISS or torch has loaded CUDA's libraries, tidying up
        # what they made takes 50 ms and 80 MB.
        leave(int(ended.code or 0))


if __name__ == "__main__":
    run()
