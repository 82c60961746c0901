"""A look at every model that is opened: do its keys turn as the cache believes?

The cache moves a token by turning its key, without its hidden state. Whether that is right depends on how a
family pairs the numbers of a key, how many of them it turns and by which frequencies; a wrong belief shows in
no error and no word for a while. So a few tokens are fed at two places, and the keys of one are moved to the
other.
"""

from __future__ import annotations

import math

import numpy as np
import torch

from svlm_cli.errors import ModelError
from svlm_cli.model.cache import StreamingCache
from svlm_cli.model.finite import LogitsCheck
from svlm_cli.model.library import silent_library
from svlm_cli.model.runtime import VideoLanguageModel

NUM_TOKENS = 5
FAR = 501.5  # most frequencies have left their first turn, and float32 angles are good to 3e-5
MOST_FIRST = {torch.float32: 1e-3}
MOST_FIRST_ROUNDED = 3e-2  # cosines, sines and keys have 8 bits
MOST_LATER = 5e-2


@torch.inference_mode()
def check_turning(model: VideoLanguageModel) -> VideoLanguageModel:
    """Feed a few tokens at two places and compare their keys.

    The first token sees itself alone, so that its hidden states do not depend on where it stands: it is
    compared in every number format. Those behind it are compared where attention is exact enough, in float32.

    Args:
        model: ready to stream.

    Returns:
        ``model``.

    Raises:
        ModelError: the keys of one place, moved to the other, are not those that stand there, or no numbers.
    """
    ids = np.linspace(0, model.network.config.text_config.vocab_size - 1, NUM_TOKENS).astype(int).tolist()
    spread = np.outer([1.0, 2.0, 0.5], np.arange(NUM_TOKENS))  # three rows that differ, as in a picture
    here, there = model.new_cache(NUM_TOKENS), model.new_cache(NUM_TOKENS)
    with silent_library():  # which kernels it lacks it says at their first use
        for cache, offset in ((here, 0.0), (there, FAR)):
            for fed in (slice(0, NUM_TOKENS - 1), slice(NUM_TOKENS - 1, None)):
                model.forward(model.embed(ids[fed]), spread[:, fed] + offset, cache)
    try:
        here.shift(np.full(NUM_TOKENS, FAR))
    except RuntimeError as error:  # shapes that cannot be
        raise _refused(model, str(error).splitlines()[0]) from error
    is_exact = {model.dtype, model.kv_dtype} == {torch.float32} and model.quantize == "none"
    for layer in range(here.num_kv_layers):
        errors = _errors(here, there, layer)
        first, worst = float(errors[0]), float(errors.max())
        if math.isnan(worst):
            LogitsCheck().fail()
        is_near = first <= MOST_FIRST.get(model.kv_dtype, MOST_FIRST_ROUNDED)
        if not is_near or (is_exact and not worst <= MOST_LATER):
            raise _refused(model, f"layer {layer} is off by {worst:.2g} of its keys' size")
    return model


def _errors(here: StreamingCache, there: StreamingCache, layer: int) -> torch.Tensor:
    """How far each token's keys are apart, the worst head, by their size."""
    moved, fresh = here.held(layer)[0].float(), there.held(layer)[0].float()
    sizes = fresh.norm(dim=-1).clamp_min(torch.finfo(torch.float32).tiny)
    far: torch.Tensor = ((moved - fresh).norm(dim=-1) / sizes).amax(dim=1)
    return far


def _refused(model: VideoLanguageModel, why: str) -> ModelError:
    return ModelError(
        f"the keys of the model {model.name} do not turn as the cache would turn them: {why}",
        "svlm would speak nonsense at the first eviction; please report this model",
    )
