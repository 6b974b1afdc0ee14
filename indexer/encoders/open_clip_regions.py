"""What the image half of an open_clip model sees where: every place of its last features pooled as if it were alone.

A model learns to compare a picture's *pooled* features with sentences. Pooling one place alone sends it the same way
into the space of sentences, and attention over one place is that place's own value: for CLIP's transformers this is
MaskCLIP (Zhou, Loy and Dai, "Extract Free Dense Labels from CLIP", 2022), for convolutions a class activation map
(Zhou et al., 2016). No weights are trained and none are needed beside the model's own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from indexer.errors import EncoderUnavailable

# A class token and a patch: what CLIP's pooling expects of the shortest sequence.
TOKEN_AND_PATCH = 2


def region_vectors(visual: Any, pixels: Tensor) -> Tensor:
    """Normalised pixels `[n, 3, s, s]` -> vectors of the places `[n, h, w, dim]`, not of unit length.

    Raises `EncoderUnavailable` for a model whose pooling cannot look at a place alone.
    """
    see = SEEING.get(type(visual).__name__)
    places = None if see is None else see(visual, pixels)
    if places is None:
        raise EncoderUnavailable(
            f"This encoder cannot say what it sees where ({type(visual).__name__}); "
            "all that `descry models` lists can, and `descry --library DIR index` makes a library with one of them."
        )
    return places


def _of_transformer(visual: Any, pixels: Tensor) -> Tensor:
    """CLIP's own vision transformer: the last block over each patch alone, then what is done with the class token."""
    *_, last = visual.transformer.resblocks
    features = visual.forward_intermediates(
        pixels, indices=[len(visual.transformer.resblocks) - 2], intermediates_only=True, stop_early=True
    )
    (states,) = features["image_intermediates"]  # (n, width, h, w)
    n, width, high, wide = states.shape
    alone = states.permute(0, 2, 3, 1).reshape(-1, 1, width).expand(-1, TOKEN_AND_PATCH, -1)
    pooled, _ = visual._pool(last(alone))  # (n h w, 2, width) -> (n h w, width)
    vectors: Tensor = pooled @ visual.proj
    return vectors.reshape(n, high, wide, -1)


def _of_resnet(visual: Any, pixels: Tensor) -> Tensor:
    """CLIP's ResNet: the values that its attention pooling would mix, each sent on alone."""
    features = visual.forward_intermediates(pixels, indices=1, intermediates_only=True)
    (states,) = features["image_intermediates"]  # (n, width, h, w)
    pool = visual.attnpool
    vectors: Tensor = pool.c_proj(pool.v_proj(states.permute(0, 2, 3, 1)))
    return vectors


def _of_timm(visual: Any, pixels: Tensor) -> Tensor | None:
    """A trunk of timm's: its pooling and projection over each place alone; None if a class token stands for all."""
    trunk = visual.trunk
    if getattr(trunk, "global_pool", None) == "token":
        return None
    states = trunk.forward_features(pixels)
    if states.ndim == 4:  # a map, (n, width, h, w)
        n, width, high, wide = states.shape
        alone = states.permute(0, 2, 3, 1).reshape(-1, width, 1, 1)
    else:  # a sequence, (n, prefix + h w, width); pooling leaves the prefix out
        prefix = trunk.num_prefix_tokens
        n, length, width = states.shape
        high = wide = round((length - prefix) ** 0.5)
        alone = states[:, prefix:].reshape(-1, 1, width).expand(-1, prefix + 1, -1)
    vectors: Tensor = visual.head(trunk.forward_head(alone))
    return vectors.reshape(n, high, wide, -1)


SEEING: dict[str, Callable[[Any, Tensor], Tensor | None]] = {
    "VisionTransformer": _of_transformer,
    "ModifiedResNet": _of_resnet,
    "TimmModel": _of_timm,
}
