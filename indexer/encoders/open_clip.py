"""Every published open_clip model, and every checkpoint of one, as an encoder.

A name says where the weights are: `open_clip:ARCH/TAG` on the hub (and, once fetched, in its cache),
`open_clip:ARCH//path/to/checkpoint` in a file, `open_clip:/path/to/folder` in a folder that open_clip saved.
"""

from __future__ import annotations

from indexer.encoders.base import Encoder
from indexer.encoders.open_clip_source import checksum_of, find


def load(name: str, *, device: str = "auto") -> Encoder:
    """The encoder of that name, its weights found (or fetched) and its model not yet built.

    Raises `UnknownEncoder` if open_clip knows no such model, `EncoderUnavailable` if its weights cannot be had, or are
    damaged, when the first tower is asked for.
    """
    source = find(name)
    # late: a wrong name is refused before torch is imported
    from indexer.encoders.devices import pick_device
    from indexer.encoders.open_clip_model import Model

    model = Model(source, pick_device(device), checksum=checksum_of(source.files))
    return Encoder(
        name=source.name,
        dimension=model.dimension,
        checksum=model.checksum,
        makers={"image": model.image_tower, "text": model.text_tower},
        store_text=model.store_text,
    )
