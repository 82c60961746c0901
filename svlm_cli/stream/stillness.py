"""Which vision tokens of a clip show something new (``--drop-static``): plain work on pixels, no model.

Shape legend: T temporal patches of d frames, a grid of h x w tokens, each s x s pixels.
"""

from __future__ import annotations

import torch

from svlm_cli.settings import StreamSettings


class Stillness:
    """Remembers what was last shown at every place of the picture.

    A place is shown again when its pixels differ by more than the threshold from when it was last shown (not
    from the frame before, or slow changes would never be seen), and as soon as that token has left the cache.

    Args:
        settings: the settings: the threshold, and how long tokens are kept.
        side: the side of a token in pixels (s).
        depth: frames per temporal patch (d).
    """

    def __init__(self, settings: StreamSettings, side: int, depth: int) -> None:
        assert settings.drop_static is not None
        self._threshold = settings.drop_static
        keeping = settings.policy.keeping
        self._restart = settings.restart_turns if keeping.restarts else 0
        self._kept_turns = settings.vision_turns if keeping.evicts else 0
        self._side, self._depth = side, depth
        self._shown = torch.zeros(0)
        self._shown_at = torch.zeros(0, dtype=torch.long)
        self._turn = 0

    def places(self, pixels: torch.Tensor) -> tuple[int, ...]:
        """Tokens of the next clip that are to be shown, ascending over (T, h, w); at least one.

        Args:
            pixels: uint8, shape (T * d or fewer, 3, h * s, w * s): the last frame stands for missing ones.
                What is too narrow for a token at the right and at the bottom is not looked at.
        """
        missing = -pixels.shape[0] % self._depth
        if missing:
            pixels = torch.cat([pixels, pixels[-1:].expand(missing, -1, -1, -1)])
        height, width = pixels.shape[2] // self._side, pixels.shape[3] // self._side
        pixels = pixels[..., : height * self._side, : width * self._side]
        is_new = self._turn == 0 or (self._restart > 0 and self._turn % self._restart == 0)
        if is_new or self._shown.shape[-2:] != pixels.shape[-2:]:
            self._shown = torch.full_like(pixels[: self._depth], 0, dtype=torch.int16)
            self._shown_at = torch.full((height, width), -1)
        fresh = [self._look(patch) for patch in torch.split(pixels.to(torch.int16), self._depth)]
        self._turn += 1
        found = torch.stack(fresh).flatten().nonzero()[:, 0].tolist()
        return tuple(found) or (0,)

    def _look(self, patch: torch.Tensor) -> torch.Tensor:
        """Places of one temporal patch (d, 3, H, W) that are new: bool (h, w); they count as shown."""
        side = self._side
        differences = (patch - self._shown).abs_().float().mean(dim=(0, 1))
        height, width = self._shown_at.shape
        means = differences.view(height, side, width, side).mean(dim=(1, 3))
        fresh = (means > self._threshold) | (self._shown_at < 0)
        if self._kept_turns:
            fresh |= self._shown_at <= self._turn - self._kept_turns
        self._shown_at[fresh] = self._turn
        mask = fresh.repeat_interleave(side, 0).repeat_interleave(side, 1)
        self._shown = torch.where(mask, patch, self._shown)
        return fresh
