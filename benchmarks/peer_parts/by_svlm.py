"""svlm, as ``svlm stream`` opens and feeds it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from benchmarks.peer_parts.shapes import GRID, MOST_CACHED, patches, states
from svlm_cli import __version__, load_model
from svlm_cli.bench.speed.floor import Fed, Floor, watched
from svlm_cli.model.kernels.native import native
from svlm_cli.model.patches import Patches
from svlm_cli.model.words import no_states

OPTIONS = {"float32": {}, "bfloat16": {"dtype": "bfloat16"}, "int8": {"quantize": "int8"}}


class Engine:
    """See ``serve.Engine``."""

    def __init__(self, number_format: str, checkpoint: Path, _folder: Path, _cache: str) -> None:
        self._model = load_model(
            str(checkpoint), device="cpu", threads=1, packed=True, **OPTIONS[number_format]
        )
        self._cache = self._model.new_cache(MOST_CACHED)
        self._floor: Floor | None = None

    def told(self) -> dict[str, str]:
        """See ``serve.Engine``."""
        kept, kernels = str(self._model.kv_dtype).removeprefix("torch."), native()
        return {"version": __version__, "cache": kept, "kernels": kernels.name if kernels else "torch's"}

    @torch.inference_mode()
    def fill(self, cached: int) -> None:
        """See ``serve.Engine``."""
        cache, (empty, _) = self._cache, no_states(self._model.network)
        cache.clear()
        cache.allocate(empty, empty)
        for layer in range(cache.num_kv_layers if cached else 0):
            keys, values = (
                torch.from_numpy(states(cached, empty.shape[1], empty.shape[3], 2 * layer + which))
                for which in (0, 1)
            )
            cache.update(keys.to(empty.dtype), values.to(empty.dtype), layer)

    def feed(self, ids: list[int]) -> np.ndarray:
        """See ``serve.Engine``."""
        first, model = self._cache.num_tokens, self._model
        rows = np.tile(np.arange(first, first + len(ids), dtype=np.float64), (3, 1))
        return model.forward(model.embed(ids), rows, self._cache).float().numpy()

    def show(self, pairs: int) -> Callable[[], np.ndarray]:
        """See ``serve.Engine``."""
        clip = Patches(torch.from_numpy(patches(pairs)), (pairs, *GRID))
        return lambda: self._model.encode_video(clip).features.float().numpy()

    def floor(self, cached: int, new: int, pairs: int) -> float | None:
        """See ``serve.Engine``."""
        seen = watched(self._model)
        self._floor = self._floor or Floor(self._model, time.process_time)
        if pairs:
            seen.grids.extend([(1, *GRID)] * pairs)
        else:
            seen.fed.append(Fed(new, cached))
        return sum(self._floor.seconds(seen, self._cache).values())
