"""`python -m search` is `descry`."""

from search.cli import main

main(prog_name="descry")
