"""Large batches in little memory: the loss of the whole batch, with the activations of one chunk at a time.

Gao et al. (2021, "Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup"): a contrastive loss needs
the vectors of the whole batch, but only the vectors. They are computed chunk by chunk and nothing else is kept; the
loss gives each vector its gradient; then each chunk is computed once more, this time with its graph, and takes its
gradient down to the weights. That is what torch's checkpointing of a tower does when each chunk is a checkpoint of
its own, and torch also sees to it that random layers and autocast are the same both times.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint


def embed_in_chunks(tower: Callable[[Tensor], Tensor], inputs: Tensor, chunk: int) -> Tensor:
    """Rows `[n, dim]` of inputs `[n, ...]`, `chunk` at a time; with 0, or where all fit into one, as if called.

    The gradients are those of one large batch, as long as the tower treats each input alone: not with batch
    normalisation that is still learning its statistics. Costs a second forward pass.
    """
    if not chunk or len(inputs) <= chunk or not torch.is_grad_enabled():
        return tower(inputs)
    rows = [checkpoint(tower, part, use_reentrant=False) for part in torch.split(inputs, chunk)]
    return torch.cat(rows)
