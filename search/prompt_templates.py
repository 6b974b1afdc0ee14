"""Short questions in a sentence before an encoder reads them: it was trained on captions, and captions are sentences.

A bare word lies apart from captions about the same thing, with lower cosines and a poorer ranking. A prompt is the
remedy (CLIP's, Radford et al. 2021). A cut-off gains most: words and sentences are judged alike.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from indexer.encoders.base import Encoder
from indexer.items import Float32Array

# Precision at 5 .531, plain .516 (`python -m evaluation kinds`); others: docs/design.md.
PROMPT = "{} in the picture"

# Questions of so many words are prompted; longer ones are sentences already.
WORDS_AT_MOST = 4

_LETTERS = re.compile(r"[^\W\d]")


def embed_texts(encoder: Encoder, texts: Sequence[str], *, tower: str = "text") -> Float32Array:
    """Unit rows `[n, dim]` of questions or labels: long ones as they are, short ones in `PROMPT`."""
    return encoder.embed(tower, [prompted(text) for text in texts])


def prompted(text: str) -> str:
    """A question as the encoder reads it.

    >>> prompted("dog"), prompted("two dogs"), prompted("A dog runs along the beach.")
    ('a dog in the picture', 'two dogs in the picture', 'A dog runs along the beach.')
    """
    words = text.strip().rstrip(".").split()
    if not 0 < len(words) <= WORDS_AT_MOST or not _LETTERS.search(text):
        return text
    return PROMPT.format(f"a {words[0]}" if len(words) == 1 else " ".join(words))
