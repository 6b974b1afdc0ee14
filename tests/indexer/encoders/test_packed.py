"""Packed layers against plain ones: the same vectors, for any number of pictures, and everything else untouched."""

from copy import deepcopy

import pytest
import torch
from open_clip.transformer import ResidualAttentionBlock, Transformer
from torch import nn

from indexer.encoders.packed import PackedAttention, can_pack, pack

CPU = torch.device("cpu")

needs_onednn = pytest.mark.skipif(not can_pack(CPU, torch.bfloat16), reason="this torch has no oneDNN")


def blocks(**options: object) -> Transformer:
    torch.manual_seed(0)
    return Transformer(width=64, layers=2, heads=4, **options).eval().requires_grad_(False).to(torch.bfloat16)


@needs_onednn
@pytest.mark.parametrize(("count", "length"), [(1, 1), (1, 5), (3, 2), (16, 50)])
def test_a_packed_transformer_computes_what_the_plain_one_does(count: int, length: int) -> None:
    plain = blocks()
    packed = deepcopy(plain)
    pack(packed)
    states = torch.randn(count, length, 64, dtype=torch.bfloat16)
    with torch.inference_mode():
        for given in (states, states[:, :1].expand(-1, length, -1)):
            expected, found = plain(given).float(), packed(given).float()
            assert torch.allclose(found, expected, rtol=0.02, atol=0.03)
            assert torch.cosine_similarity(found, expected, dim=-1).min() > 0.9999


@needs_onednn
def test_nothing_plain_is_left_of_clips_blocks() -> None:
    packed = blocks()
    pack(packed)
    assert not [module for module in packed.modules() if isinstance(module, nn.Linear | nn.MultiheadAttention)]


@needs_onednn
def test_what_is_built_otherwise_stays_as_it_is() -> None:
    quick = blocks(act_layer=nn.SiLU)
    pack(quick)
    block = quick.resblocks[0]
    assert isinstance(block, ResidualAttentionBlock)
    assert isinstance(block.attn, PackedAttention)
    assert isinstance(block.mlp[0], nn.Linear)
    other = nn.Sequential(nn.Linear(3, 3), nn.GELU(), nn.Linear(3, 3))
    pack(other)
    assert isinstance(other[0], nn.Linear)


def test_other_devices_and_formats_keep_the_plain_ones() -> None:
    assert not can_pack(torch.device("cuda"), torch.bfloat16)
    assert not can_pack(CPU, torch.float32)
