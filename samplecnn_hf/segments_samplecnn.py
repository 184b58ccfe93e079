"""The segments of a batch of clips: computed without padding, and averaged per clip."""

from collections.abc import Iterable

import torch


class Clips:
    """Converts between unpacked [*shape, ...] and packed segments [segments to compute, ...] of a batch.

    Padding is not computed, which excludes it from batch statistics. A compiled graph cannot depend on the number of
    real segments: in inference it computes the padding, too, and sets it to zero.
    """

    def __init__(self, shape: torch.Size, mask: torch.Tensor | None = None, training: bool = False):
        self.shape, self.mask = shape, mask if mask is None else mask.bool()
        self.drops_padding = mask is not None and (training or not torch.compiler.is_compiling())

    def pack(self, x: torch.Tensor) -> torch.Tensor:
        return x[self.mask] if self.drops_padding else x.flatten(0, len(self.shape) - 1)

    def unpack(self, x: torch.Tensor) -> torch.Tensor:
        if self.drops_padding:
            unpacked = x.new_zeros(*self.shape, *x.shape[1:])
            unpacked[self.mask] = x
            return unpacked
        x = x.unflatten(0, self.shape)
        return x if self.mask is None else x.masked_fill(~self.mask.view(*self.shape, *[1] * (x.dim() - 2)), 0)

    def split(self, x: torch.Tensor, size: int) -> Iterable[torch.Tensor]:
        """Yield `pack(x)` in groups of up to `size` segments, without a copy of all of them."""
        segments = x.flatten(0, len(self.shape) - 1)
        if not self.drops_padding:
            return segments.split(size)
        return (segments[indices] for indices in self.mask.flatten().nonzero().squeeze(1).split(size))


def masked_mean(x: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    """Mean over the real segments: [batch, segments, features] -> [batch, features]."""
    if mask is None:
        return x.mean(1)
    weights = mask.unsqueeze(-1).float()
    return ((x * weights).sum(1) / weights.sum(1)).to(x.dtype)  # the sum may exceed float16


def log_mean_exp(x: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    """log(mean(exp(x))) over the real segments: [batch, segments, labels] -> [batch, labels]."""
    if mask is None:
        return x.logsumexp(1) - torch.ones_like(x).sum(1).log()  # a tensor: the dimension stays dynamic in exports
    mask = mask.bool().unsqueeze(-1)
    return x.masked_fill(~mask, -torch.inf).logsumexp(1) - mask.sum(1).log()
