"""BERT's tokenizer, ready in a few milliseconds: WordPiece over a vocabulary that is read and not compiled.

The package `tokenizers` takes 25 ms to be imported and to open such a file, a tenth of a search by sentence. It is
asked where its care is needed: for text that is more than printable ASCII, and for files of another build.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tokenizers import Tokenizer

UNKNOWN = "[UNK]"

# What such a file says beside its vocabulary, if it does what is done here (Devlin et al. 2019, uncased).
_BUILD: Mapping[str, Any] = {
    "normalizer": {
        "type": "BertNormalizer",
        "clean_text": True,
        "handle_chinese_chars": True,
        "strip_accents": None,
        "lowercase": True,
    },
    "pre_tokenizer": {"type": "BertPreTokenizer"},
}
_MODEL: Mapping[str, Any] = {"type": "WordPiece", "unk_token": UNKNOWN, "continuing_subword_prefix": "##"}
_LONGEST = "max_input_chars_per_word"

# Text in which there is nothing to normalise but the case: printable ASCII and white space. A bracket may begin a
# special token.
_PLAIN = re.compile(r"[\t\n\r -Z\\-~]*")
_WORDS = re.compile(r"[a-z0-9]+|[^\sa-z0-9]")

# More distinct words than most captions hold; 65 thousand entries take about 10 MB.
_REMEMBERED_WORDS = 65_536


class WordPieces:
    """Sentences to token ids, exactly as `tokenizers` does it for the file at `path`.

    Raises `OSError`, `KeyError` or `ValueError` if that is no such file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        content = json.loads(path.read_text(encoding="utf-8"))
        model = content["model"]
        self._vocabulary: dict[str, int] = model["vocab"]
        self._longest: int = model.get(_LONGEST, 0)
        self._is_known = (
            content.items() >= _BUILD.items()
            and model.items() >= _MODEL.items()
            and not any(_PLAIN.fullmatch(token["content"]) for token in content["added_tokens"])
        )
        # Without a known token (an emoji, nothing at all) a sentence is one unknown token: a vector, not NaN.
        self.unknown = self._vocabulary.get(UNKNOWN, 0)
        self._ids = lru_cache(maxsize=_REMEMBERED_WORDS)(self._word)

    def id(self, token: str) -> int:
        """The id of a token of the vocabulary, as "[CLS]". Raises `KeyError`."""
        return self._vocabulary[token]

    def encode(self, text: str) -> list[int]:
        """The ids of a text's tokens, however many, without special ones around them."""
        if self._is_known and _PLAIN.fullmatch(text):
            return [one for word in _WORDS.findall(text.lower()) for one in self._ids(word)]
        ids: list[int] = self._thorough.encode(text, add_special_tokens=False).ids
        return ids

    def is_whole(self, word: str) -> bool:
        """Whether a word, in lower case, is one piece of the vocabulary."""
        return word in self._vocabulary

    def _word(self, word: str) -> Sequence[int]:
        """The longest piece that begins the word, then the longest that goes on; unknown if one is missing."""
        ids: list[int] = []
        start = 0
        while start < len(word) <= self._longest:
            pieces = (("##" * bool(start) + word[start:end], end) for end in range(len(word), start, -1))
            piece, start = next((one for one in pieces if one[0] in self._vocabulary), ("", len(word)))
            if not piece:
                return (self.unknown,)
            ids.append(self._vocabulary[piece])
        return ids or (self.unknown,)

    @cached_property
    def _thorough(self) -> Tokenizer:
        from tokenizers import Tokenizer

        thorough = Tokenizer.from_file(str(self._path))
        thorough.no_padding()  # files of other people's ask for them
        thorough.no_truncation()
        return thorough
