"""Takes the text tower out of an open_clip model and writes it in the form that `stored` opens.

The model's modules are recognised by what they are; whatever is not known exactly is refused, and what is
written is kept only if it embeds like the original. A tower that cannot be stored is no error: searches by
sentence then load the model itself.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import save_file

from indexer.atomic import atomic_folder
from indexer.encoders.base import Tower
from indexer.encoders.clip_tokens import CLEANERS, merge_table
from indexer.encoders.stored import CONFIG, MERGES, TOKENIZER, WEIGHTS, TextConfig, load_stored
from indexer.items import Float32Array

log = logging.getLogger(__name__)

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


class NotStorable(Exception):
    """A text tower that the stored form cannot represent."""


def store_text_tower(
    model: Any, tokenizer: Any, reference: Tower, folder: Path, *, name: str, dimension: int, checksum: str
) -> None:
    """Writes the text tower of an open_clip model to `folder`, whole or not at all.

    `reference` is the same tower on torch; a stored form that does not agree with it is thrown away.
    """
    try:
        with atomic_folder(folder) as scratch:
            _write(scratch, model, tokenizer, name=name, dimension=dimension, checksum=checksum)
            _check(scratch, reference)
    except (NotStorable, OSError, SafetensorError) as reason:
        log.info("The text tower of %s is not stored, searches will load the model: %s", name, reason)


def _write(folder: Path, model: Any, tokenizer: Any, *, name: str, dimension: int, checksum: str) -> None:
    # CLIP carries the parts of its text tower itself, every other model has a tower of its own.
    text = getattr(model, "text", model)
    shape = _shape(model, text)
    words = _store_tokenizer(folder, tokenizer)
    config = TextConfig(name=name, dimension=dimension, checksum=checksum, **shape, **words)
    (folder / CONFIG).write_text(json.dumps(asdict(config), indent=1) + "\n", encoding="utf-8")
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
        **_projection(text.text_projection),
    }
    for number, block in enumerate(text.transformer.resblocks):
        arrays |= _block(str(number), block)
    return arrays


def _block(name: str, block: Any) -> dict[str, Float32Array]:
    attention, perceptron = block.attn, block.mlp
    return {
        **_parts(f"{name}.ln_1", block.ln_1),
        f"{name}.attn.in.weight": _array(attention.in_proj_weight),
        f"{name}.attn.in.bias": _array(attention.in_proj_bias),
        **_parts(f"{name}.attn.out", attention.out_proj, scale=getattr(block.ls_1, "gamma", None)),
        **_parts(f"{name}.ln_2", block.ln_2),
        **_parts(f"{name}.mlp.in", perceptron.c_fc),
        **_parts(f"{name}.mlp.out", perceptron.c_proj, scale=getattr(block.ls_2, "gamma", None)),
    }


def _parts(name: str, module: Any, *, scale: Any = None) -> dict[str, Float32Array]:
    """Weight and bias of a module; a layer scale behind it is multiplied into its rows."""
    factor = 1 if scale is None else _array(scale)
    parts = {f"{name}.weight": (_array(module.weight).T * factor).T}
    if module.bias is not None:
        parts[f"{name}.bias"] = _array(module.bias) * factor
    return {key: np.ascontiguousarray(value, dtype=np.float32) for key, value in parts.items()}


def _projection(projection: Any) -> dict[str, Float32Array]:
    """The last linear map as `[out, in]`: a module, a bare `[in, out]` parameter, or none at all."""
    if projection is None:
        return {}
    if hasattr(projection, "weight"):
        return _parts("projection", projection)
    return {"projection.weight": np.ascontiguousarray(_array(projection).T)}


def _array(parameter: Any) -> Float32Array:
    array: Float32Array = parameter.detach().float().cpu().numpy()
    return array


def _store_tokenizer(folder: Path, tokenizer: Any) -> dict[str, Any]:
    """Writes what the tokenizer needs; returns the fields of `TextConfig` that describe it."""
    clean = _cleaning(tokenizer.clean_fn)
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


def _cleaning(function: Callable[[str], str]) -> str:
    """The name of an open_clip cleaning function."""
    name = function.__name__.removeprefix("_clean_")
    if name not in CLEANERS:
        raise NotStorable(f"its texts are cleaned by {function.__name__}")
    return name
