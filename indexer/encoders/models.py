"""The encoders worth choosing from, side by side: what `descry models` shows.

Sources. Quality is ImageNet-1k zero-shot top-1 in percent: open_clip's `docs/openclip_results.csv` for the
DataComp models (Gadre et al. 2023), Apple's model cards for MobileCLIP2 (Faghri et al. 2025), table 1 of
Tschannen et al. 2025 (arXiv 2502.14786) for SigLIP 2. Megabytes are those of all parameters in float32, by
counting them. Speed is photos a second on one core of a Xeon (Sapphire Rapids) in float32, random weights,
batches of 4: read it as a ratio; bfloat16, where the CPU has it, is 1.3 (convolutions) to 4 times that.
"""

from __future__ import annotations

from dataclasses import dataclass

from indexer.encoders import hub


@dataclass(frozen=True, slots=True)
class ModelCard:
    """One encoder: `alias` is what to type for it, `name` what a library records.

    `megabytes` is its size on disk, `quality` its zero-shot top-1 on ImageNet in percent (None: not measured
    on it), `speed` photos a second on one core. `repository` is where on the hub its weights are; "" for the
    one that travels with Descry.
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
MODELS = (
    ModelCard(
        alias="embedded",
        name="embedded",
        dimension=256,
        megabytes=33,
        quality=None,
        speed=42.6,
        note="travels with Descry; small and quick, knows everyday scenes",
    ),
    ModelCard(
        alias="mobileclip2-s0",
        name="open_clip:MobileCLIP2-S0/dfndr2b",
        dimension=512,
        megabytes=299,
        quality=71.5,
        speed=9.7,
        note="small; weights for research use (apple-amlr)",
        repository="timm/MobileCLIP2-S0-OpenCLIP",
    ),
    ModelCard(
        alias="vit-b-32",
        name="open_clip:ViT-B-32/datacomp_xl_s13b_b90k",
        dimension=512,
        megabytes=605,
        quality=69.2,
        speed=12.8,
        note="the quickest on a CPU with bfloat16; MIT",
        repository="laion/CLIP-ViT-B-32-DataComp.XL-s13B-b90K",
    ),
    ModelCard(
        alias="vit-b-32-256",
        name="open_clip:ViT-B-32-256/datacomp_s34b_b86k",
        dimension=512,
        megabytes=605,
        quality=72.8,
        speed=10.5,
        note="a good choice for most; MIT",
        repository="laion/CLIP-ViT-B-32-256x256-DataComp-s34B-b86K",
    ),
    ModelCard(
        alias="mobileclip2-s2",
        name="open_clip:MobileCLIP2-S2/dfndr2b",
        dimension=512,
        megabytes=397,
        quality=77.2,
        speed=3.8,
        note="much for its size; weights for research use (apple-amlr)",
        repository="timm/MobileCLIP2-S2-OpenCLIP",
    ),
    ModelCard(
        alias="siglip2-b",
        name="open_clip:ViT-B-16-SigLIP2-256/webli",
        dimension=768,
        megabytes=1501,
        quality=79.1,
        speed=2.8,
        note="multilingual; Apache-2.0; needs the extra descry[multilingual]",
        repository="timm/ViT-B-16-SigLIP2-256",
    ),
    ModelCard(
        alias="vit-l-14",
        name="open_clip:ViT-L-14/datacomp_xl_s13b_b90k",
        dimension=768,
        megabytes=1710,
        quality=79.2,
        speed=0.7,
        note="wants a GPU; MIT",
        repository="laion/CLIP-ViT-L-14-DataComp.XL-s13B-b90K",
    ),
    ModelCard(
        alias="siglip2-so400m",
        name="open_clip:ViT-SO400M-16-SigLIP2-384/webli",
        dimension=1152,
        megabytes=4544,
        quality=84.1,
        speed=0.2,
        note="the best, multilingual, wants a GPU; Apache-2.0; needs the extra descry[multilingual]",
        repository="timm/ViT-SO400M-16-SigLIP2-384",
    ),
)


def is_here(card: ModelCard) -> bool:
    """Whether the encoder can be used without a network; looks at the cache of the hub and nowhere else."""
    return not card.repository or hub.cached(card.repository) is not None
