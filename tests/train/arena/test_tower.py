"""The quick tower against the one that transformers computes by itself."""

from __future__ import annotations

import random

import pytest
import torch

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


def test_windows_that_learn_are_attended_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch's backward pass over them is several times slower in bfloat16 on a CPU."""
    attend, seen = windows.functional.scaled_dot_product_attention, []

    def noted(*inputs: torch.Tensor, **options: float | None) -> torch.Tensor:
        seen.append({each.dtype for each in inputs})
        return attend(*inputs, **options)

    monkeypatch.setattr(windows.functional, "scaled_dot_product_attention", noted)
    drawn = torch.randn(3, 1, 2, 24, 8, generator=torch.Generator().manual_seed(2)).bfloat16()
    bounds = torch.tensor([0, 12, 24])
    exact = [each.float().requires_grad_() for each in drawn]
    learnt = [each.clone().requires_grad_() for each in drawn]
    outs = [windowed_attention(None, *each, cu_seq_lens_q=bounds)[0] for each in (exact, learnt)]
    for out in outs:
        out.float().square().sum().backward()
    assert seen == [{torch.float32}] * 2
    assert outs[1].dtype == torch.bfloat16
    torch.testing.assert_close(outs[1].float(), outs[0], rtol=1e-2, atol=1e-3)
    for one, other in zip(learnt, exact, strict=True):
        assert one.grad is not None
        assert other.grad is not None
        torch.testing.assert_close(one.grad.float(), other.grad, rtol=3e-2, atol=3e-2)


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
