"""An induction head to begin with: "what followed this word before follows it now".

Names are learnt from the opening text alone. A small model finds the two heads that look one up only after
thousands of steps without progress, as each is useless without the other. So both are there from the start,
as weights that training may change: in the first layer one that looks at the token before, in the second
one that looks for tokens whose predecessor is the present token, and copies them ("previous token head" and
"induction head": Elhage et al. 2021, Olsson et al. 2022).

Shape legend: d = hidden size, h = head size, p = h / 2 rotary frequencies, m = dimensions that match.
"""

from __future__ import annotations

from typing import Any

import torch

NUM_PLACE_PAIRS = 10  # fastest frequencies, which tell one place from the next
FIRST_MATCH_PAIR = 18  # frequencies from here on hardly turn within a few hundred tokens
PLACE_SIZE = 6.0
MATCH_GAIN = 3.0
COPY_GAIN = 0.4


def plant_induction(network: Any, generator: torch.Generator) -> None:
    """Write both heads into the first query head of the first and of the second layer.

    Args:
        network: a Qwen2.5-VL with at least two layers, heads of 64 and embeddings of unit norm.
        generator: the generator of the random projections that words are read through.
    """
    language = network.model.language_model
    first, second = language.layers[0].self_attn, language.layers[1].self_attn
    frequencies = language.rotary_emb.inv_freq
    size, hidden = first.head_dim, first.q_proj.in_features
    read = _projection(size, hidden, hidden**-0.5, generator)
    write = _projection(hidden, size, (hidden * size) ** -0.5, generator)
    copied = _projection(size, hidden, hidden**-0.5, generator)
    pairs = torch.arange(FIRST_MATCH_PAIR, size // 2)
    matching = torch.cat([pairs, pairs + size // 2])
    basis = torch.linalg.qr(torch.randn(size, len(matching), generator=generator))[0].T
    with torch.no_grad():
        for layer in (first, second):
            for projection in (layer.q_proj, layer.k_proj):
                projection.weight[:size] = 0
        place = torch.arange(NUM_PLACE_PAIRS)
        first.k_proj.bias[place] = PLACE_SIZE
        first.q_proj.bias[place] = PLACE_SIZE * torch.cos(frequencies[place])
        first.q_proj.bias[place + size // 2] = -PLACE_SIZE * torch.sin(frequencies[place])
        first.v_proj.weight[:size] = read
        first.o_proj.weight[:, :size] = write
        second.q_proj.weight[matching] = MATCH_GAIN**0.5 * basis @ read
        found = basis @ torch.linalg.pinv(write) * hidden**-0.5
        second.k_proj.weight[matching] = MATCH_GAIN**0.5 * found
        second.v_proj.weight[:size] = copied
        second.o_proj.weight[:, :size] = COPY_GAIN * copied.T


def _projection(rows: int, columns: int, std: float, generator: torch.Generator) -> torch.Tensor:
    return torch.randn(rows, columns, generator=generator) * std
