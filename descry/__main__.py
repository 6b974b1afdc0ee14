"""`python -m descry`: the command line."""

from search.__main__ import run

if __name__ == "__main__":
    run()
