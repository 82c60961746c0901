"""The grouped kernel against attention written out in float64, and what it leaves to transformers."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from svlm_cli.model.attention import _lower_right, grouped_attention
from svlm_cli.model.hooks.attention import grouped_mask
from svlm_cli.model.prepare import set_stream_attention

HEADS, KEY_HEADS, SIZE, SCALE = 6, 2, 16, 0.3


class Layer(torch.nn.Module):
    num_key_value_groups = HEADS // KEY_HEADS

    def __init__(self, is_causal: bool = True) -> None:
        super().__init__()
        self.is_causal = is_causal


def states(num_cached: int, num_new: int, dtype: torch.dtype = torch.float32):
    """Laid out in memory as in a model: queries token by token, keys as views of a larger store."""
    generator = torch.Generator().manual_seed(num_cached * 100 + num_new)
    query = torch.randn(1, num_new, HEADS, SIZE, generator=generator).transpose(1, 2)
    stored = torch.randn(2, KEY_HEADS, num_cached + num_new + 5, SIZE, generator=generator)
    key, value = (each[None, :, : num_cached + num_new] for each in stored)
    return query.to(dtype), key.to(dtype), value.to(dtype)


def brute_force(query, key, value, mask) -> torch.Tensor:
    """(1, m, h, D) in float64."""
    key, value = (each.double().repeat_interleave(HEADS // KEY_HEADS, dim=1) for each in (key, value))
    scores = (query.double() @ key.transpose(2, 3) * SCALE).masked_fill(~mask, -torch.inf)
    return (scores.softmax(-1) @ value).transpose(1, 2)


def causal(num_cached: int, num_new: int) -> torch.Tensor:
    return torch.ones(num_new, num_cached + num_new, dtype=torch.bool).tril(num_cached)


@pytest.mark.parametrize("num_cached", [0, 1, 700])
@pytest.mark.parametrize("num_new", [1, 2, 65])
def test_equal_to_brute_force(num_cached, num_new):
    query, key, value = states(num_cached, num_new)
    ours, _ = grouped_attention(Layer(), query, key, value, None, scaling=SCALE)
    expected = brute_force(query, key, value, causal(num_cached, num_new))
    assert ours.is_contiguous()
    torch.testing.assert_close(ours.double(), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 2e-2)])
@pytest.mark.parametrize("num_cached", [0, 300])
@pytest.mark.filterwarnings("ignore:.*attention:UserWarning")  # no GPU kernel here: torch says why of each
def test_what_a_gpu_is_asked_for_is_the_same_attention(num_cached, dtype, tolerance):
    query, key, value = states(num_cached, 33, dtype)
    ours = _lower_right(query, key, value, SCALE).transpose(1, 2)
    expected = brute_force(query, key, value, causal(num_cached, 33))
    torch.testing.assert_close(ours.double(), expected, atol=tolerance, rtol=tolerance)


@pytest.mark.parametrize("num_new", [1, 65])
def test_bfloat16_rounds_and_no_more(num_new):
    query, key, value = states(300, num_new, torch.bfloat16)
    ours, _ = grouped_attention(Layer(), query, key, value, None, scaling=SCALE)
    assert ours.dtype is torch.bfloat16
    expected = brute_force(query, key, value, causal(300, num_new))
    torch.testing.assert_close(ours.double(), expected, atol=2e-2, rtol=2e-2)


def test_scores_far_apart_do_not_overflow():
    query, key, value = states(40, 5)
    ours, _ = grouped_attention(Layer(), query * 300, key, value, None, scaling=SCALE)
    expected = brute_force(query * 300, key, value, causal(40, 5))
    torch.testing.assert_close(ours.double(), expected, atol=1e-4, rtol=1e-4)


def test_a_mask_is_obeyed():
    query, key, value = states(10, 4)
    mask = causal(10, 4)
    mask[:, 3] = False
    ours, _ = grouped_attention(Layer(), query, key, value, mask[None, None], scaling=SCALE)
    torch.testing.assert_close(ours.double(), brute_force(query, key, value, mask), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 2e-2)])
def test_one_word_under_a_mask_of_any_slots(dtype, tolerance):
    query, key, value = states(300, 1, dtype)
    mask = torch.rand(1, 1, 1, 301, generator=torch.Generator().manual_seed(1)) < 0.4
    ours, _ = grouped_attention(Layer(), query, key, value, mask, scaling=SCALE)
    assert (ours.dtype, ours.is_contiguous()) == (dtype, True)
    expected = brute_force(query, key, value, mask[0, 0])
    torch.testing.assert_close(ours.double(), expected, atol=tolerance, rtol=tolerance)


def test_a_layer_that_looks_both_ways_does():
    query, key, value = states(0, 9)
    ours, _ = grouped_attention(Layer(is_causal=False), query, key, value, None, scaling=SCALE)
    everything = torch.ones(9, 9, dtype=torch.bool)
    torch.testing.assert_close(
        ours.double(), brute_force(query, key, value, everything), atol=1e-5, rtol=1e-5
    )


def test_training_gets_its_gradients():
    query, key, value = (each.clone().requires_grad_() for each in states(0, 7))
    ours, _ = grouped_attention(Layer(), query, key, value, None, scaling=SCALE)
    ours.sum().backward()
    expected = [each.grad.clone() for each in (query, key, value)]
    for each in (query, key, value):
        each.grad = None
    brute_force(query, key, value, causal(0, 7)).sum().backward()
    for each, gradient in zip((query, key, value), expected, strict=True):
        torch.testing.assert_close(gradient, each.grad, atol=1e-5, rtol=1e-5)


def test_only_plain_causal_attention_goes_without_a_mask():
    shape = {"batch_size": 1, "q_length": 3, "kv_length": 5, "q_offset": 2, "kv_offset": 0}
    assert grouped_mask(**shape) is None
    padding = torch.tensor([[False, True, True, True, True]])
    mask = grouped_mask(attention_mask=padding, **shape)
    assert mask is not None
    assert not mask[..., 0].any()


@pytest.mark.parametrize("attention", ["auto", "flash_attention_2"])
@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_no_stream_on_a_gpu_waits_for_cudnn_to_plan(device, attention):
    config = SimpleNamespace(
        text_config=SimpleNamespace(),
        vision_config=SimpleNamespace(_attn_implementation="sdpa"),
    )
    network = SimpleNamespace(
        device=torch.device(device),
        config=config,
        set_attn_implementation=lambda _: None,
        model=SimpleNamespace(language_model=SimpleNamespace(layers=[object()])),
    )
    was_enabled = torch.backends.cuda.cudnn_sdp_enabled()
    try:
        torch.backends.cuda.enable_cudnn_sdp(True)
        set_stream_attention(network, attention)
        assert torch.backends.cuda.cudnn_sdp_enabled() is (device == "cpu")
    finally:
        torch.backends.cuda.enable_cudnn_sdp(was_enabled)
