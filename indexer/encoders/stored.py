"""The text tower of an open_clip model in numpy: a search by sentence without torch.

Importing torch and open_clip and loading a model takes seconds; mapping the weights of a text tower into memory and
multiplying a dozen tokens through it takes tens of milliseconds. `store_text_tower` writes the folder that
`load_stored` opens: `config.json`, `weights.safetensors`, and `merges.npy` or `tokenizer.json`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from indexer.encoders.base import Tower, unit_rows
from indexer.encoders.clip_tokens import CLEANERS, ClipTokenizer, PackagedTokenizer, merge_table
from indexer.encoders.layers import attention, gelu, gelu_tanh, layer_norm, quick_gelu
from indexer.encoders.weights import map_arrays
from indexer.errors import EncoderUnavailable
from indexer.items import Float32Array, Int64Array

FORMAT = 1
CONFIG, WEIGHTS, MERGES, TOKENIZER = "config.json", "weights.safetensors", "merges.npy", "tokenizer.json"

Weights = Mapping[str, Float32Array]

ACTIVATIONS = {"gelu": gelu, "gelu_tanh": gelu_tanh, "quick_gelu": quick_gelu}

# What the stored tower is compared on: an empty text, one token, captions, one longer than any context,
# other scripts, and characters that a tokenizer mends or splits.
SENTENCES = (
    "",
    "cat",
    "a photo of two dogs playing in the snow",
    "A woman in a RED dress, looking at 3 paintings; it's 10 o'clock.",
    "ein Café in Zürich “bei Nacht” &amp; im Regen",
    "海辺を走る犬 🐕",
    "snake_case and under_scores 1234567890",
    "one two three four five six seven eight nine ten " * 12,
)
# Measured on ViT-B-32 with random weights: rounding costs 1e-7, the wrong kind of GELU already 1e-4.
LEAST_COSINE = 0.99999


@dataclass(frozen=True, slots=True)
class TextConfig:
    """What a stored text tower is: whose it is, its shape, and how its sentences become tokens.

    `pool` says which token's row is the sentence's: "first", "last", "argmax" (the largest id, CLIP's end of text) or
    "eos" (the first `eos` id).
    """

    name: str
    dimension: int
    checksum: str
    context: int
    layers: int
    heads: int
    causal: bool
    activation: str
    epsilon: float
    pool: str
    eos: int
    clean: str
    pad: int
    tokenizer: str
    format: int = FORMAT


class StoredTextTower:
    """Embeds sentences with the weights of an open_clip text tower, in float32 and without torch. A `Tower`.

    `weights` are the arrays that `_weights` names, any of them memory-mapped: of the token embedding only the rows that
    occur are read.
    """

    def __init__(self, config: TextConfig, weights: Weights, tokenizer: ClipTokenizer | PackagedTokenizer) -> None:
        self.config = config
        self.name, self.dimension, self.checksum = config.name, config.dimension, config.checksum
        self._weights, self._tokenizer = weights, tokenizer
        # of CLIP's vocabulary, which is English; others may be of any language, and tell nothing
        self.is_whole = tokenizer.is_whole if isinstance(tokenizer, ClipTokenizer) else None
        self._activation = ACTIVATIONS[config.activation]
        # With a causal mask nothing behind the pooled token can reach it: leaving that out is exact and,
        # for a caption of a dozen tokens in a context of 77, most of the work.
        self._cut = config.causal and config.pool in ("argmax", "eos")

    def fits(self, value: str) -> bool:
        """Whether all tokens of the sentence fit into the context."""
        return len(self._tokenizer.encode(value)) <= self.config.context

    def prepare(self, value: str) -> Int64Array:
        """The sentence's token ids, `[context]` int64, cut behind the last one that matters."""
        ids = self._tokenizer.encode(value)
        if len(ids) > self.config.context:
            ids = [*ids[: self.config.context - 1], ids[-1]]
        row = np.full(self.config.context, self.config.pad, dtype=np.int64)
        row[: len(ids)] = ids
        return row[: self._pooled(row) + 1] if self._cut else row

    def embed(self, prepared: Sequence[npt.NDArray[Any]]) -> Float32Array:
        """A batch of prepared sentences as `[n, dim]` float32 unit rows.

        Sentences of one length go together, so that none is padded: a row does not depend on its company.
        """
        rows = np.zeros((len(prepared), self.dimension), dtype=np.float32)
        lengths = [len(ids) for ids in prepared]
        for length in set(lengths):
            positions = [position for position, own in enumerate(lengths) if own == length]
            rows[positions] = self._embedded(np.stack([prepared[position] for position in positions]))
        return rows

    def _embedded(self, ids: npt.NDArray[Any]) -> Float32Array:
        """Token ids `[n, length]` as unit rows `[n, dim]`."""
        length, weights = ids.shape[1], self._weights
        states: Float32Array = weights["token_embedding"][ids] + weights["positional_embedding"][:length]
        mask = np.triu(np.full((length, length), -np.inf, dtype=np.float32), 1) if self.config.causal else None
        for layer in range(self.config.layers):  # states are (n, length, width)
            projected = self._linear(self._norm(states, f"{layer}.ln_1"), f"{layer}.attn.in")
            states = states + self._linear(attention(projected, self.config.heads, mask), f"{layer}.attn.out")
            hidden = self._activation(self._linear(self._norm(states, f"{layer}.ln_2"), f"{layer}.mlp.in"))
            states = states + self._linear(hidden, f"{layer}.mlp.out")
        pooled = states[np.arange(len(ids)), [self._pooled(row) for row in ids]]  # (n, width)
        last = self._norm(pooled, "ln_final")
        return unit_rows(self._linear(last, "projection") if "projection.weight" in weights else last)

    def _pooled(self, ids: npt.NDArray[Any]) -> int:
        """The position of the token whose row stands for the sentence."""
        match self.config.pool:
            case "first":
                return 0
            case "last":
                return len(ids) - 1
            case "eos":
                return int((ids == self.config.eos).argmax())
            case _:
                return int(ids.argmax())

    def _linear(self, states: Float32Array, name: str) -> Float32Array:
        """`[..., in]` -> `[..., out]`, as one product of two matrices: numpy would make one of each sentence's."""
        weight = self._weights[f"{name}.weight"]  # [out, in], as torch keeps it
        out: Float32Array = states.reshape(-1, weight.shape[1]) @ weight.T
        if (bias := self._weights.get(f"{name}.bias")) is not None:
            out += bias
        return out.reshape(*states.shape[:-1], weight.shape[0])

    def _norm(self, states: Float32Array, name: str) -> Float32Array:
        weight, bias = self._weights[f"{name}.weight"], self._weights[f"{name}.bias"]
        return layer_norm(states, weight, bias, self.config.epsilon)


def load_stored(folder: Path) -> StoredTextTower:
    """The text tower stored in a folder, its weights memory-mapped.

    For ViT-B/32 on one core it opens in 2 to 8 ms and embeds its first caption in 60 to 140; importing torch, loading
    the model and embedding the first caption takes 5 s. Raises `EncoderUnavailable` if its files cannot be read.
    """
    try:
        values = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        if values.get("format") != FORMAT:
            raise ValueError(f"its format is {values.get('format')}, this version reads {FORMAT}")
        config = TextConfig(**{field.name: values[field.name] for field in fields(TextConfig)})
        weights = map_arrays(folder / WEIGHTS)
        for name, array in weights.items():
            if array.dtype != np.float32:
                raise ValueError(f"its array {name} is {array.dtype} instead of float32")
        tokenizer: ClipTokenizer | PackagedTokenizer
        if config.tokenizer == "clip":
            tokenizer = ClipTokenizer(np.load(folder / MERGES), clean=config.clean)
        else:
            tokenizer = PackagedTokenizer(folder / TOKENIZER, clean=config.clean)
        return StoredTextTower(config, weights, tokenizer)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise EncoderUnavailable(
            f"The text tower stored in {folder} cannot be read ({error}); delete that folder, and searches"
            " load the whole model instead."
        ) from error


class NotStorable(Exception):
    """A text tower that the stored form cannot represent."""


def store_text_tower(
    model: Any, tokenizer: Any, reference: Tower, folder: Path, *, name: str, dimension: int, checksum: str
) -> None:
    """Writes the text tower of an open_clip model to `folder`, whole or not at all.

    What is not known exactly is refused, and a stored form that does not embed as `reference`, the same tower on torch,
    is thrown away. A tower that cannot be stored is no error:
    searches by sentence then load the model itself.
    """
    import logging  # late, all three: a search needs none of them

    from safetensors import SafetensorError

    from indexer.atomic import atomic_folder

    try:
        with atomic_folder(folder) as scratch:
            _write(scratch, model, tokenizer, name=name, dimension=dimension, checksum=checksum)
            _check(scratch, reference)
    except (NotStorable, OSError, SafetensorError) as reason:
        log = logging.getLogger(__name__)
        log.info("The text tower of %s is not stored, searches will load the model: %s", name, reason)


def _write(folder: Path, model: Any, tokenizer: Any, *, name: str, dimension: int, checksum: str) -> None:
    # CLIP carries the parts of its text tower itself, every other model has a tower of its own.
    text = getattr(model, "text", model)
    shape = _shape(model, text)
    words = _store_tokenizer(folder, tokenizer)
    config = TextConfig(name=name, dimension=dimension, checksum=checksum, **shape, **words)
    (folder / CONFIG).write_text(json.dumps(asdict(config), indent=1) + "\n", encoding="utf-8")
    from safetensors.numpy import save_file

    save_file(_weights(text), folder / WEIGHTS)
    # safetensors shuts everybody else out; who may read the folder may read its weights
    (folder / WEIGHTS).chmod((folder / CONFIG).stat().st_mode)


def _check(folder: Path, reference: Tower) -> None:
    """Raises `NotStorable` unless the tower in the folder embeds as the reference does."""
    stored = load_stored(folder)
    pairs = [
        stored.embed([stored.prepare(sentence)]) @ reference.embed([reference.prepare(sentence)]).T
        for sentence in SENTENCES
    ]
    # written so that a NaN counts as disagreement
    if not (least := float(np.min(pairs))) > LEAST_COSINE:
        raise NotStorable(f"it agrees with the model only to a cosine of {least:.6f}")


def _shape(model: Any, text: Any) -> dict[str, Any]:
    """The fields of `TextConfig` that the modules tell."""
    blocks = getattr(getattr(text, "transformer", None), "resblocks", None)
    if not blocks:
        raise NotStorable(f"a text tower of type {type(text).__name__} is not a plain transformer")
    if getattr(text, "cls_emb", None) is not None or getattr(text, "use_pad_mask", False):
        raise NotStorable("it masks padding")
    kinds = {(type(block).__name__, type(block.attn).__name__) for block in blocks}
    if kinds != {("ResidualAttentionBlock", "MultiheadAttention")}:
        raise NotStorable(f"its layers are {kinds}")
    return {
        "context": text.context_length,
        "layers": len(blocks),
        "heads": blocks[0].attn.num_heads,
        "causal": text.attn_mask is not None,
        "activation": _activation(blocks[0].mlp.gelu),
        "epsilon": text.ln_final.eps,
        "pool": model.text_pool_type if text is model else text.pool_type,
        "eos": model.text_eos_id if text is model else text.eos_id,
    }


def _activation(module: Any) -> str:
    match type(module).__name__, getattr(module, "approximate", "none"):
        case "QuickGELU", _:
            return "quick_gelu"
        case "GELU", "tanh":
            return "gelu_tanh"
        case "GELU", "none":
            return "gelu"
    raise NotStorable(f"its activation is {module}")


def _weights(text: Any) -> dict[str, Float32Array]:
    """The arrays of a text tower by the names under which `StoredTextTower` looks for them."""
    arrays = {
        "token_embedding": _array(text.token_embedding.weight),
        "positional_embedding": _array(text.positional_embedding),
        **_parts("ln_final", text.ln_final),
    }
    last = text.text_projection  # a module, a bare `[in, out]` parameter, or none at all
    if hasattr(last, "weight"):
        arrays |= _parts("projection", last)
    elif last is not None:
        arrays["projection.weight"] = np.ascontiguousarray(_array(last).T)
    for number, block in enumerate(text.transformer.resblocks):
        arrays |= _parts(f"{number}.ln_1", block.ln_1) | _parts(f"{number}.ln_2", block.ln_2)
        arrays[f"{number}.attn.in.weight"] = _array(block.attn.in_proj_weight)
        arrays[f"{number}.attn.in.bias"] = _array(block.attn.in_proj_bias)
        arrays |= _parts(f"{number}.attn.out", block.attn.out_proj, scale=getattr(block.ls_1, "gamma", None))
        arrays |= _parts(f"{number}.mlp.in", block.mlp.c_fc)
        arrays |= _parts(f"{number}.mlp.out", block.mlp.c_proj, scale=getattr(block.ls_2, "gamma", None))
    return arrays


def _parts(name: str, module: Any, *, scale: Any = None) -> dict[str, Float32Array]:
    """Weight and bias of a module; a layer scale behind it is multiplied into its rows."""
    factor = 1 if scale is None else _array(scale)
    parts = {f"{name}.weight": (_array(module.weight).T * factor).T}
    if module.bias is not None:
        parts[f"{name}.bias"] = _array(module.bias) * factor
    return {key: np.ascontiguousarray(value, dtype=np.float32) for key, value in parts.items()}


def _array(parameter: Any) -> Float32Array:
    array: Float32Array = parameter.detach().float().cpu().numpy()
    return array


def _store_tokenizer(folder: Path, tokenizer: Any) -> dict[str, Any]:
    """Writes what the tokenizer needs; returns the fields of `TextConfig` that describe it."""
    clean = tokenizer.clean_fn.__name__.removeprefix("_clean_")
    if clean not in CLEANERS:
        raise NotStorable(f"its texts are cleaned by {tokenizer.clean_fn.__name__}")
    if hasattr(tokenizer, "bpe_ranks"):
        if getattr(tokenizer, "reduction_fn", None) is not None:
            raise NotStorable("its tokenizer drops tokens at random")
        try:
            np.save(folder / MERGES, merge_table(tokenizer.bpe_ranks, tokenizer.encoder))
        except ValueError as error:
            raise NotStorable(f"its tokenizer is not CLIP's: {error}") from error
        return {"tokenizer": "clip", "clean": clean, "pad": 0}
    inner = tokenizer.tokenizer
    backend = getattr(inner, "backend_tokenizer", None)
    if backend is None or tokenizer.tokenizer_mode or tokenizer.strip_sep_token:
        raise NotStorable(f"its tokenizer, {type(inner).__name__}, has no form of its own")
    backend.save(str(folder / TOKENIZER))
    return {"tokenizer": "packaged", "clean": clean, "pad": inner.pad_token_id}
