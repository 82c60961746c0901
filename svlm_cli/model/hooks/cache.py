"""A stream's cache as transformers takes one: the same layers under its class.

Apart from the cache itself, as importing transformers' takes as long as the first words of a stream.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from transformers.cache_utils import Cache, CacheLayerMixin, LinearAttentionCacheLayerMixin

from svlm_cli.model.states.kv_layer import StreamingCacheLayer
from svlm_cli.model.states.recurrent import RecurrentLayer

CacheLayerMixin.register(StreamingCacheLayer)
LinearAttentionCacheLayerMixin.register(RecurrentLayer)


def cache_of(layers: Sequence[Any]) -> Cache:
    """What a network of transformers writes to and reads from, over a ``StreamingCache``'s layers."""
    return Cache(layers=list(layers))
