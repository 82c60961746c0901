"""The quick tower against the one that transformers computes by itself."""

from __future__ import annotations

import random

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from svlm_cli.model.vision import windows
from svlm_cli.model.vision.windows import windowed_attention
from svlm_cli.train.arena.tower import quick_tower
from svlm_cli.train.learner import new_tokenizer
from tests.train.small import network


@pytest.mark.parametrize("seed", range(4))
def test_the_same_features_and_gradients(seed: int) -> None:
    dice = random.Random(seed)
    torch.manual_seed(seed)
    plain = network(new_tokenizer())
    visual = plain.model.visual
    grids = torch.tensor(
        [[dice.randint(1, 4), 4 * dice.randint(1, 3), 4 * dice.randint(1, 3)] for _ in range(3)]
    )
    pixels = torch.randn(int(grids.prod(-1).sum()), visual.patch_embed.proj.weight[0].numel())
    found = []
    for change in (lambda network: network.set_attn_implementation("eager"), quick_tower):
        change(plain)
        visual.zero_grad()
        features = visual(pixels, grids).pooler_output
        features.square().sum().backward()
        found.append([features.detach(), *(weight.grad.clone() for weight in visual.parameters())])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5 * float(one.abs().max()))


def test_a_frozen_one_sees_the_same() -> None:
    """By the compiled kernels, where there are some."""
    torch.manual_seed(0)
    plain = network(new_tokenizer()).requires_grad_(requires_grad=False)
    visual, grid = plain.model.visual, torch.tensor([[3, 8, 12]])
    pixels = torch.randn(int(grid.prod()), visual.patch_embed.proj.weight[0].numel())
    wanted = visual(pixels, grid).pooler_output
    quick_tower(plain)
    torch.testing.assert_close(visual(pixels, grid).pooler_output, wanted, rtol=1e-4, atol=1e-5)


class _Attended(TorchDispatchMode):
    """Notes the number formats in which torch attends."""

    def __init__(self) -> None:
        super().__init__()
        self.formats: list[torch.dtype] = []

    def __torch_dispatch__(self, function, types, arguments=(), options=None):
        if "scaled_dot_product" in str(function) and "backward" not in str(function):
            self.formats.append(arguments[0].dtype)
        return function(*arguments, **(options or {}))


@pytest.mark.parametrize(
    ("bounds", "wanted"),
    [([0, 12, 24], [torch.float32]), ([0, 4, 12, 24], [torch.float32] * 3), ([0, 600], [torch.bfloat16])],
)
@pytest.mark.parametrize("learns", [0, 2])
def test_short_windows_that_learn_are_attended_in_float32(bounds, wanted, learns) -> None:
    """Under autocast too: torch's backward pass over them is several times slower in bfloat16 on a CPU."""
    drawn = torch.randn(3, 1, 2, bounds[-1], 8, generator=torch.Generator().manual_seed(2)).bfloat16()
    exact, learnt = (
        [each.clone().requires_grad_(place == learns) for place, each in enumerate(states)]
        for states in (drawn.float(), drawn)
    )
    outs = [windowed_attention(None, *exact, cu_seq_lens_q=torch.tensor(bounds))[0]]
    with torch.autocast("cpu", torch.bfloat16), _Attended() as attended:
        outs.append(windowed_attention(None, *learnt, cu_seq_lens_q=torch.tensor(bounds))[0])
    for out in outs:
        out.float().square().sum().backward()
    assert attended.formats == wanted
    assert outs[1].dtype == torch.bfloat16
    torch.testing.assert_close(outs[1].float(), outs[0], rtol=2e-2, atol=4e-3)
    found, right = learnt[learns].grad, exact[learns].grad
    assert found is not None
    assert right is not None
    torch.testing.assert_close(found.float(), right, rtol=3e-2, atol=3e-2)


def test_a_tower_learns_in_a_process_where_one_has_looked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Frames of many sizes, without the compiled kernels: what is kept of their windows is no inference's."""
    monkeypatch.setattr(windows, "native", lambda: None)
    bounds = torch.tensor([0, 3, 10, 14, 21])
    drawn = torch.randn(3, 1, 2, 21, 8, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        seen, _ = windowed_attention(None, *drawn, cu_seq_lens_q=bounds)
    query = drawn[0].clone().requires_grad_()
    learnt, _ = windowed_attention(None, query, *drawn[1:], cu_seq_lens_q=bounds)
    torch.testing.assert_close(learnt.detach(), seen.clone())
    learnt.sum().backward()
    assert query.grad is not None
