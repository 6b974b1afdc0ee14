"""An open_clip model at work: its two towers on torch, and its text tower written down for searches without it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from copy import deepcopy
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import torch
from PIL import Image

from indexer import shipped
from indexer.encoders.base import PictureTower, Regions, unit_rows
from indexer.encoders.devices import TorchTower, pick_dtype, runner
from indexer.encoders.onednn import pack_linear, quantize_linear, runs_int8, runs_linear
from indexer.encoders.open_clip_source import Source, quiet
from indexer.encoders.resizing import TorchPreprocessing, channels_last
from indexer.encoders.stored import store_text_tower
from indexer.errors import EncoderUnavailable, first_line
from indexer.items import Float32Array, Int64Array
from indexer.photos.opening import open_photo
from indexer.photos.pixels import upright_size
from indexer.photos.preprocessing import Preprocessing

# A tower runs in bfloat16 only if its vectors stay this near to those of float32.
LEAST_COSINE = 0.999

# It runs in int8, where bfloat16 is slow, only if they stay this near, those of photos that were not calibrated on.
LEAST_INT8_COSINE = 0.995
CALIBRATED_ON = 4

# Pictures that go through a model together on one core: CPU milliseconds a picture in pieces of 4 / 8 / 16 / 32,
# ViT-B/32 in bfloat16 with AMX: 32 / 20 / 20 / 20. ViT-B-32-256 in int8 on AVX2: 80 / 76 / 73 / 71.
PIECE = 16


class Model:
    """An open_clip model from which towers are made; built when the first of them is."""

    def __init__(self, source: Source, device: torch.device, *, checksum: str) -> None:
        self._source, self._device, self.checksum = source, device, checksum
        with quiet(), explained(source):
            self.config = open_clip.get_model_config(source.architecture)
            self.dimension = int(self.config["embed_dim"])

    @cached_property
    def network(self) -> Any:
        """The model itself, float32, on the device."""
        source = self._source
        with quiet(), explained(source):
            network = open_clip.create_model(
                source.architecture,
                str(source.checkpoint) if source.checkpoint else None,
                force_quick_gelu=source.quick_gelu,
                force_preprocess_cfg=dict(source.preprocess),
                require_pretrained=True,
            )
        return network.eval().requires_grad_(False).to(self._device)

    @cached_property
    def tokenizer(self) -> Any:
        """What makes token ids of sentences."""
        architecture, text = self._source.architecture, self.config["text_cfg"]
        with quiet(), explained(self._source):
            if not text.get("hf_tokenizer_name"):
                return open_clip.get_tokenizer(architecture)
            try:  # what is in the cache is not asked for on the network again
                return open_clip.get_tokenizer(architecture, local_files_only=True)
            except OSError:
                return open_clip.get_tokenizer(architecture)

    def image_tower(self) -> ImageTower:
        """The tower for pictures."""
        return ImageTower(self.network, recipe_of(self.network, self._source.name), self._device, self.dimension)

    def text_tower(self) -> TextTower:
        """The tower for sentences."""
        return TextTower(self.network, self.tokenizer, self._device, self.dimension, pick_dtype(self._device))

    def store_text(self, folder: Path) -> None:
        """Writes the text tower in the form that opens without torch, if it can be written so; see `stored`."""
        store_text_tower(
            self.network,
            self.tokenizer,
            TextTower(self.network, self.tokenizer, self._device, self.dimension, torch.float32),
            folder,
            name=self._source.name,
            dimension=self.dimension,
            checksum=self.checksum,
        )


def recipe_of(network: Any, name: str) -> Preprocessing:
    """How the model wants its pictures, from open_clip's own record of it."""
    config = network.visual.preprocess_cfg
    size = config["size"]
    height, width = (size, size) if isinstance(size, int) else size
    if height != width:
        raise EncoderUnavailable(f"{name} wants photos of {width} x {height}; choose a model with square ones.")
    return Preprocessing(
        size=height,
        mean=tuple(config["mean"]),
        std=tuple(config["std"]),
        interpolation=config["interpolation"],
        mode=config["resize_mode"],
        fill=config["fill_color"],
    )


class ImageTower(PictureTower, TorchTower):
    """Embeds pictures with the image half of an open_clip model. A `Tower`.

    It runs in bfloat16 where the device multiplies that in hardware, unless the model does not bear it.
    """

    def __init__(self, network: Any, recipe: Preprocessing, device: torch.device, dimension: int) -> None:
        self._network, self._device, self.dimension = network, device, dimension
        self.recipe = TorchPreprocessing.of(recipe)
        self.dtype = torch.float32
        # byte * scale + shift = (byte / 255 - mean) / std, [3, 1, 1] each
        mean, std = (torch.tensor(values, device=device).view(3, 1, 1) for values in (recipe.mean, recipe.std))
        self._scale, self._shift = 1 / (255 * std), -mean / std
        if device.type == "cuda":
            # the layout in which tensor cores convolve without a copy
            network.visual.to(memory_format=torch.channels_last)
        self._narrow(pick_dtype(device))
        if self.dtype == torch.bfloat16 and runs_linear(device, self.dtype):
            pack_linear(network.visual)
        _end_with_first_token(network.visual)
        self._run = runner(self._vectors, device, piece=PIECE)

    def regions(self, value: Image.Image) -> Regions:
        """What is in the parts of a picture: see `region_vectors`. Raises `EncoderUnavailable`."""
        box = self.recipe.box(upright_size(value))
        with torch.inference_mode():
            pixels = self._pixels(channels_last([self.prepare(value)]).to(self._device))
            vectors = region_vectors(self._network.visual, pixels)[0]
        return Regions(unit_rows(vectors.float().cpu().numpy()), box)

    def _vectors(self, pictures: torch.Tensor) -> torch.Tensor:
        """Pictures `[n, 3, size, size]` uint8 -> vectors `[n, dim]` float32, not yet of unit length."""
        vectors: torch.Tensor = self._network.encode_image(self._pixels(pictures)).float()
        return vectors

    def _pixels(self, pictures: torch.Tensor) -> torch.Tensor:
        """Pictures `[n, 3, size, size]` uint8 as the network takes them, scaled and normalised."""
        return (pictures * self._scale + self._shift).to(self.dtype)

    def _narrow(self, dtype: torch.dtype) -> None:
        """Goes over to bfloat16, or to int8 in a transformer's blocks, and back if the shipped photos' vectors show it.

        Smallest cosine of 16 photos to float32, bfloat16, random weights, a CPU with AMX: ViT-B-32 0.99995,
        ViT-B-16-SigLIP2 0.99997, ViT-L-14 0.99992, ConvNeXt-B 0.99997; trained weights are asked again, here.
        """
        is_int8 = dtype == torch.float32 and runs_int8(self._device)
        if dtype == torch.float32 and not is_int8:
            return
        paths = sorted(shipped("photos").glob("*.jpg"))[: 2 * CALIBRATED_ON]
        photos = channels_last([self.recipe.prepare(open_photo(path)) for path in paths]).to(self._device)
        seen, unseen = photos[:CALIBRATED_ON], photos[CALIBRATED_ON:]
        visual, exact = self._network.visual, self._whole(unseen)
        self._network.visual, self.dtype = deepcopy(visual).to(dtype), dtype
        if is_int8:
            with torch.inference_mode():
                quantize_linear(self._network.visual, lambda: self._vectors(seen))
        least = LEAST_INT8_COSINE if is_int8 else LEAST_COSINE
        if not np.vecdot(exact, self._whole(unseen)).min() > least:
            self._network.visual, self.dtype = visual, torch.float32

    def _whole(self, pictures: torch.Tensor) -> Float32Array:
        """Unit rows of pictures on the device, in one go."""
        with torch.inference_mode():
            return unit_rows(self._vectors(pictures).cpu().numpy())


class FirstTokenBlock(torch.nn.Module):
    """The last block of a vision transformer whose pooling looks at the first token alone: no other's state is made.

    That is three quarters of a block's work: of ViT-B-32's 12 blocks 6 %.
    """

    def __init__(self, block: Any) -> None:
        super().__init__()
        self.block = block

    def forward(self, x: torch.Tensor, attn_mask: torch.Tensor | None = None) -> torch.Tensor:
        """States `[n, length, width]` -> `[n, 1, width]`."""
        block, states = self.block, self.block.ln_1(x)
        mixed, _ = block.attn(states[:, :1], states, states, need_weights=False, attn_mask=attn_mask)
        x = x[:, :1] + block.ls_1(mixed)
        ended: torch.Tensor = x + block.ls_2(block.mlp(block.ln_2(x)))
        return ended


def _end_with_first_token(visual: Any) -> None:
    """Leaves out of a CLIP vision transformer, in place, what its vector does not depend on."""
    if type(visual).__name__ != "VisionTransformer" or visual.pool_type != "tok" or visual.attn_pool is not None:
        return
    blocks = visual.transformer.resblocks
    if visual.transformer.batch_first and type(blocks[-1]).__name__ == "ResidualAttentionBlock":
        blocks[-1] = FirstTokenBlock(blocks[-1])


class TextTower(TorchTower):
    """Embeds sentences with the text half of an open_clip model. A `Tower`.

    Its weights stay float32, so that they can be written down as they are; on CUDA it computes in `dtype`.
    """

    def __init__(self, network: Any, tokenizer: Any, device: torch.device, dimension: int, dtype: torch.dtype) -> None:
        self._network, self._tokenizer, self._device, self.dimension = network, tokenizer, device, dimension
        self._dtype = dtype
        # of CLIP's own vocabulary, which is English; others may be of any language, and tell nothing
        self.is_whole = partial(_is_one_token, tokenizer) if hasattr(tokenizer, "bpe_ranks") else None
        self._run = runner(self._vectors, device)

    def fits(self, value: str) -> bool:
        """Whether all tokens of the sentence fit into the context."""
        return _count_tokens(self._tokenizer, value) <= int(self._tokenizer.context_length)

    def prepare(self, value: str) -> Int64Array:
        """The sentence's token ids, `[context]` int64, padded or cut."""
        ids: Int64Array = self._tokenizer([value])[0].numpy()
        return ids

    def _vectors(self, ids: torch.Tensor) -> torch.Tensor:
        """Token ids `[n, context]` -> vectors `[n, dim]` float32, not yet of unit length."""
        # On a CPU autocast costs more than it gains: a third of the rate at a batch of 8. No cache: a recording would
        # hold on to what is in it.
        narrow = self._device.type == "cuda" and self._dtype != torch.float32
        with torch.autocast("cuda", self._dtype, cache_enabled=False) if narrow else nullcontext():
            vectors: torch.Tensor = self._network.encode_text(ids).float()
        return vectors


def _is_one_token(tokenizer: Any, word: str) -> bool:
    return f"{word}</w>" in tokenizer.encoder


def _count_tokens(tokenizer: Any, text: str) -> int:
    """How many tokens a text makes, start and end included, before anything is cut."""
    if hasattr(tokenizer, "encode"):  # CLIP's own
        return len(tokenizer.encode(text)) + 2
    return len(tokenizer.tokenizer(tokenizer.clean_fn(text)).input_ids)


@contextmanager
def explained(source: Source) -> Iterator[None]:
    """Turns whatever a loader raises on files that it cannot use into an `EncoderUnavailable` that says why."""
    try:
        yield
    except ImportError as error:
        package = error.name or error
        raise EncoderUnavailable(f"{source.name} needs the package {package}: pip install {package}.") from error
    # Loaders answer foreign bytes with every kind of exception: pickle's, safetensors', KeyError, StopIteration ...
    except Exception as error:
        where = ", ".join(str(path) for path in source.files)
        raise EncoderUnavailable(f"{source.name} cannot be loaded from {where}: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    text = str(error)
    if "state_dict" in text or isinstance(error, AssertionError):  # open_clip asserts the shapes that it resizes
        return "these are the weights of another architecture; name the one that they were trained for."
    return f"the file is damaged or no checkpoint ({first_line(error)}); fetch it again."


# A class token and a patch: what CLIP's pooling expects of the shortest sequence.
TOKEN_AND_PATCH = 2


def region_vectors(visual: Any, pixels: torch.Tensor) -> torch.Tensor:
    """Normalised pixels `[n, 3, s, s]` -> vectors of the places `[n, h, w, dim]`, not of unit length.

    A model learns to compare a picture's *pooled* features with sentences. Pooling one place alone sends it the same
    way into the space of sentences, and attention over one place is that place's own value: for CLIP's transformers
    this is MaskCLIP (Zhou, Loy and Dai, "Extract Free Dense Labels from CLIP", 2022), for convolutions a class
    activation map (Zhou et al., 2016). Raises `EncoderUnavailable` where that cannot be.
    """
    see = SEEING.get(type(visual).__name__)
    places = None if see is None else see(visual, pixels)
    if places is None:
        raise EncoderUnavailable(
            f"This encoder cannot say what it sees where ({type(visual).__name__}); "
            "all that `descry models` lists can, and `descry --library DIR index` makes a library with one of them."
        )
    return places


def _of_transformer(visual: Any, pixels: torch.Tensor) -> torch.Tensor:
    """CLIP's own vision transformer: the last block over each patch alone, then what is done with the class token."""
    *_, last = visual.transformer.resblocks
    features = visual.forward_intermediates(
        pixels, indices=[len(visual.transformer.resblocks) - 2], intermediates_only=True, stop_early=True
    )
    (states,) = features["image_intermediates"]  # (n, width, h, w)
    n, width, high, wide = states.shape
    alone = states.permute(0, 2, 3, 1).reshape(-1, 1, width).expand(-1, TOKEN_AND_PATCH, -1)
    pooled, _ = visual._pool(last(alone))  # (n h w, 2, width) -> (n h w, width)
    vectors: torch.Tensor = pooled @ visual.proj
    return vectors.reshape(n, high, wide, -1)


def _of_resnet(visual: Any, pixels: torch.Tensor) -> torch.Tensor:
    """CLIP's ResNet: the values that its attention pooling would mix, each sent on alone."""
    features = visual.forward_intermediates(pixels, indices=1, intermediates_only=True)
    (states,) = features["image_intermediates"]  # (n, width, h, w)
    pool = visual.attnpool
    vectors: torch.Tensor = pool.c_proj(pool.v_proj(states.permute(0, 2, 3, 1)))
    return vectors


def _of_timm(visual: Any, pixels: torch.Tensor) -> torch.Tensor | None:
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
    vectors: torch.Tensor = visual.head(trunk.forward_head(alone))
    return vectors.reshape(n, high, wide, -1)


SEEING: dict[str, Callable[[Any, torch.Tensor], torch.Tensor | None]] = {
    "VisionTransformer": _of_transformer,
    "ModifiedResNet": _of_resnet,
    "TimmModel": _of_timm,
}
