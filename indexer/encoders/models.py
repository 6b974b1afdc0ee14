"""The encoders worth choosing from, side by side: what `descry models` shows.

Sources. Quality is ImageNet-1k zero-shot top-1 in percent: open_clip's `docs/openclip_results.csv` for the
DataComp models (Gadre et al. 2023), Apple's model cards for MobileCLIP2 (Faghri et al. 2025), table 1 of
Tschannen et al. 2025 (arXiv 2502.14786) for SigLIP 2. Megabytes are those of all parameters in float32, by
counting them. Speed is photos a second on one core of a Xeon (Sapphire Rapids) in float32, random weights,
batches of 4: read it as a ratio; bfloat16, where the CPU has it, is 1.3 (convolutions) to 4 times that.
"""

from __future__ import annotations

from typing import NamedTuple


class ModelCard(NamedTuple):
    """One encoder: `alias` is what to type for it, `name` what a library records.

    `quality` is its zero-shot top-1 on ImageNet in percent (None: not measured on it), `speed` photos a second on one
    core. `repository` is where on the hub its weights are; "" for the one that travels with Descry.
    """

    alias: str
    name: str
    dimension: int
    megabytes: int
    quality: float | None
    speed: float
    note: str
    repository: str = ""


# From the quickest to the best.
# fmt: off
MODELS = (
    ModelCard("embedded", "embedded", 256, 33, None, 42.6,
              "travels with Descry; small and quick, knows everyday scenes"),
    ModelCard("mobileclip2-s0", "open_clip:MobileCLIP2-S0/dfndr2b", 512, 299, 71.5, 9.7,
              "small; weights for research use (apple-amlr)", "timm/MobileCLIP2-S0-OpenCLIP"),
    ModelCard("vit-b-32", "open_clip:ViT-B-32/datacomp_xl_s13b_b90k", 512, 605, 69.2, 12.8,
              "the quickest on a CPU with bfloat16; MIT", "laion/CLIP-ViT-B-32-DataComp.XL-s13B-b90K"),
    ModelCard("vit-b-32-256", "open_clip:ViT-B-32-256/datacomp_s34b_b86k", 512, 605, 72.8, 10.5,
              "a good choice for most; MIT", "laion/CLIP-ViT-B-32-256x256-DataComp-s34B-b86K"),
    ModelCard("mobileclip2-s2", "open_clip:MobileCLIP2-S2/dfndr2b", 512, 397, 77.2, 3.8,
              "much for its size; weights for research use (apple-amlr)", "timm/MobileCLIP2-S2-OpenCLIP"),
    ModelCard("siglip2-b", "open_clip:ViT-B-16-SigLIP2-256/webli", 768, 1501, 79.1, 2.8,
              "multilingual; Apache-2.0; needs the extra descry[multilingual]", "timm/ViT-B-16-SigLIP2-256"),
    ModelCard("vit-l-14", "open_clip:ViT-L-14/datacomp_xl_s13b_b90k", 768, 1710, 79.2, 0.7,
              "wants a GPU; MIT", "laion/CLIP-ViT-L-14-DataComp.XL-s13B-b90K"),
    ModelCard("siglip2-so400m", "open_clip:ViT-SO400M-16-SigLIP2-384/webli", 1152, 4544, 84.1, 0.2,
              "the best, multilingual, wants a GPU; Apache-2.0; needs the extra descry[multilingual]",
              "timm/ViT-SO400M-16-SigLIP2-384"),
)
# fmt: on


def is_here(card: ModelCard) -> bool:
    """Whether the encoder can be used without a network; looks at the cache of the hub and nowhere else."""
    from indexer.encoders.open_clip_source import cached  # late: a search by sentence looks names up here

    return not card.repository or cached(card.repository) is not None
