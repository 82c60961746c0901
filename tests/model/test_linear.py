"""Linear layers of a stream on the CPU against ``torch.nn.Linear``, and networks made of them."""

from __future__ import annotations

import itertools
import random
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
import torch

from svlm_cli import UsageError, load_model
from svlm_cli.bench.speed import rates
from svlm_cli.model import linear
from svlm_cli.model.kernels import panels
from svlm_cli.model.kernels.fourbit import Int4Linear
from svlm_cli.model.kernels.native import Native
from svlm_cli.model.kernels.panels import can_pack
from svlm_cli.model.linear import Int8Linear, PackedLinear, PlainLinear, laid_out, replace_linears


def layer(num_in: int = 96, num_out: int = 40, *, bias: bool = True) -> torch.nn.Linear:
    torch.manual_seed(num_in)
    return torch.nn.Linear(num_in, num_out, bias=bias)


def parts(linear: torch.nn.Linear) -> tuple[torch.Tensor, torch.Tensor | None]:
    return linear.weight.detach(), None if linear.bias is None else linear.bias.detach()


@pytest.mark.parametrize("make", [laid_out, Int8Linear, Int4Linear])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_no_rows_are_none(make, dtype: torch.dtype) -> None:
    """In a thread that has multiplied nothing yet, too."""
    made = make(layer(32, 16).weight.detach().to(dtype), None)
    with ThreadPoolExecutor(1) as thread:
        assert thread.submit(made, torch.empty(0, 32, dtype=dtype)).result().shape == (0, 16)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", [(96,), (1, 1, 96), (1, 33, 96)])
@pytest.mark.parametrize("bias", [True, False])
def test_packed_is_the_same_product(dtype, shape, bias):
    if not can_pack(dtype):
        pytest.skip("this processor has no such kernels")
    plain = layer(bias=bias).to(dtype)
    inputs = torch.randn(shape).to(dtype)
    with torch.inference_mode():
        ours, theirs = PackedLinear(*parts(plain))(inputs), plain(inputs)
    assert ours.dtype is dtype
    torch.testing.assert_close(ours, theirs)
    assert torch.equal(PackedLinear(*parts(plain)).state_dict()["weight"], plain.weight), (
        "fingerprints read weights"
    )


def test_bytes_lose_what_rounding_loses_in_every_row():
    """Rows a million times larger or smaller than their neighbours keep their own precision."""
    plain = layer()
    inputs = torch.randn(2, 30, 96) * torch.logspace(-6, 6, 30)[:, None]
    with torch.inference_mode():
        ours, exact = Int8Linear(*parts(plain))(inputs), plain(inputs)
    weight = plain.weight.detach()
    steps = inputs.abs().amax(-1, keepdim=True) / 127, weight.abs().amax(1) / 127
    # Half a step on either side of each product, all with the worst sign.
    worst = steps[0] / 2 * weight.abs().sum(1) + steps[1] / 2 * inputs.abs().sum(-1, keepdim=True) * 1.01
    assert ((ours - exact).abs() <= worst).all()
    errors = (ours - exact).norm(dim=-1) / exact.norm(dim=-1)
    assert errors.max() < 0.05


def test_a_row_of_zeros_gives_the_bias():
    plain = layer()
    with torch.inference_mode():
        assert torch.equal(Int8Linear(*parts(plain))(torch.zeros(3, 96)), plain.bias.expand(3, -1))


def test_bytes_are_what_is_kept():
    small = Int8Linear(*parts(layer(512, 300)))
    assert {name: tensor.dtype for name, tensor in small.state_dict().items()} == {
        "bias": torch.float32,
        "weight": torch.int8,
        "scales": torch.float32,
    }


def test_every_linear_layer_is_replaced_and_no_other():
    network = torch.nn.Sequential(
        layer(), torch.nn.GELU(), torch.nn.Sequential(layer(40, 8), torch.nn.Identity())
    )
    plain = network(torch.ones(1, 96))
    assert replace_linears(network, Int8Linear) == 2
    assert [type(each).__name__ for each in network] == ["Int8Linear", "GELU", "Sequential"]
    torch.testing.assert_close(network(torch.ones(1, 96)), plain.detach(), atol=0.05, rtol=0.05)


def test_opening_in_bytes(checkpoint, model):
    small = load_model(str(checkpoint), device="cpu", quantize="int8")
    assert small.quantize == "int8"
    assert small.fingerprint() != model.fingerprint()
    assert type(small.network.lm_head) is Int8Linear
    assert isinstance(small.network.model.language_model.embed_tokens, torch.nn.Embedding)


def test_opening_packed_changes_no_fingerprint(checkpoint, model):
    packed = load_model(str(checkpoint), device="cpu", packed=True)
    assert type(packed.network.lm_head) is type(laid_out(torch.ones(1, 1), None))
    assert packed.fingerprint() == model.fingerprint()


def test_what_is_not_known_is_refused(checkpoint):
    with pytest.raises(UsageError, match="--quantize int3"):
        load_model(str(checkpoint), device="cpu", quantize="int3")


@pytest.mark.parametrize("seed", range(6))
def test_bytes_without_instructions_for_them_are_multiplied_alike(seed, monkeypatch):
    """Whole numbers of up to 127 times 127 are exact in float32 as long as few are added up."""
    dice = random.Random(seed)
    rows, size, outputs = dice.choice((1, 2, 9, 70)), dice.randrange(1, 1000), dice.randrange(1, 700)
    monkeypatch.setattr(linear, "WIDENED_AT_ONCE", dice.choice((1, size * 16, 2**19)))
    monkeypatch.setattr(linear, "byte_kernels", lambda: None)
    torch.manual_seed(seed)
    plain, inputs = torch.nn.Linear(size, outputs), torch.randn(rows, size)
    found = []
    for has in (True, False):
        monkeypatch.setattr(linear, "multiplies_bytes", lambda has=has: has)
        with torch.inference_mode():
            found.append(Int8Linear(*parts(plain))(inputs))
    assert torch.equal(*found)


@pytest.mark.parametrize("shape", [(70,), (1, 70), (4, 70), (5, 70), (2, 40, 70)])
def test_a_plain_layer_in_bfloat16_adds_up_in_float32(shape):
    torch.manual_seed(len(shape))
    inputs, plain = torch.randn(shape).bfloat16(), torch.nn.Linear(70, 90).bfloat16()
    with torch.inference_mode():
        found = PlainLinear(*parts(plain))(inputs)
        exact = plain.double()(inputs.double())
    assert (found.dtype, found.shape) == (torch.bfloat16, (*shape[:-1], 90))
    torch.testing.assert_close(found.double(), exact, rtol=1e-2, atol=1e-2)


def test_no_layer_is_left_to_a_plain_loop(monkeypatch):
    """Where oneDNN does not multiply bfloat16 the compiled kernels do, if they are faster than plain ones."""
    functions = SimpleNamespace(svlm_has_tiles=lambda: 0)
    for chosen, has_onednn in itertools.product((0, 1), (False, True)):
        kernels = Native(functions, {0: "plain", 1: "avx2"}, chosen)
        monkeypatch.setattr(panels, "native", lambda kernels=kernels: kernels)
        monkeypatch.setattr(panels, "can_pack", lambda dtype, has=has_onednn: has or dtype is torch.float32)
        is_taken = chosen == 1 and not has_onednn
        assert panels.panel_kernels(torch.bfloat16) is (kernels if is_taken else None)


@pytest.mark.parametrize("has_tiles", [0, 1])
@pytest.mark.parametrize("name", ["avx2", "avx512", "avx512_bf16", "amx"])
def test_who_multiplies_bfloat16(monkeypatch, name, has_tiles):
    """oneDNN where there are tiles; attention is reckoned in bfloat16 where its kernels multiply it."""
    kernels = Native(SimpleNamespace(svlm_has_tiles=lambda: has_tiles), {0: "plain", 1: name}, 1)
    for module in (panels, rates):
        monkeypatch.setattr(module, "native", lambda: kernels)
    monkeypatch.setattr(panels, "can_pack", lambda dtype: True)
    is_taken = name in ("avx512_bf16", "amx") and not has_tiles
    assert panels.panel_kernels(torch.bfloat16) is (kernels if is_taken else None)
    assert panels.panel_kernels(torch.float32) is kernels
    wanted = "bfloat16" if name in ("avx512_bf16", "amx") else "float32"
    assert rates.attention_format(torch.bfloat16, torch.device("cpu")) == wanted
