"""What keys of results know of a model."""

from __future__ import annotations

from dataclasses import replace

from svlm_cli.bench.common.model import model_facts


def test_a_prompt_format_that_a_name_decides_is_in_the_key(model) -> None:
    """The same weights under LiveCC's name are asked another way."""
    plain, other = (replace(model, name=name) for name in ("org/a-model", "chenjoya/LiveCC-7B-Instruct"))
    assert model_facts(plain).fingerprint == model.fingerprint()
    assert model_facts(other).fingerprint not in (model.fingerprint(), "")
