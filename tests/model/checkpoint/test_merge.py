"""A merged checkpoint opens as base and adapter do, and is there whole or not at all."""

from __future__ import annotations

import json
import shutil
import warnings
from pathlib import Path

import peft
import pytest
import torch
import transformers
from safetensors.torch import load_file

from svlm_cli import load_model
from svlm_cli.claims import claim
from svlm_cli.model.merge import main
from svlm_cli.model.random_checkpoint import build_random_checkpoint
from svlm_cli.model.seal import check_files, read_seal
from tests.model.checkpoint.tiny import CLASS, logits

NUM_PIECES = 4000


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tied checkpoint in bfloat16 with the first pieces of the real vocabulary."""
    dashscope = pytest.importorskip("dashscope", reason="it carries the real vocabulary")
    folder = tmp_path_factory.mktemp("merge")
    pieces = (Path(dashscope.__file__).parent / "resources" / "qwen.tiktoken").read_bytes()
    part = folder / "part.tiktoken"
    part.write_bytes(b"".join(pieces.splitlines(keepends=True)[:NUM_PIECES]))
    built = build_random_checkpoint(folder / "base", vocabulary=str(part), spread=3.0)
    network = getattr(transformers, CLASS).from_pretrained(built, dtype=torch.bfloat16)
    network.resize_token_embeddings(NUM_PIECES + 100)
    network.save_pretrained(built)
    (built / "chat_template.jinja").write_text("{{ messages }}")
    (built / "model.safetensors.index.json").write_text('{"weight_map": {"a": "gone.safetensors"}}')
    return built


@pytest.fixture(scope="module")
def adapter(base: Path) -> Path:
    """LoRA on a tied head, trained on other pixels."""
    network = getattr(transformers, CLASS).from_pretrained(base, dtype=torch.float32)
    torch.manual_seed(2)
    config = peft.LoraConfig(r=4, lora_alpha=9, target_modules=["q_proj", "lm_head"], init_lora_weights=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        peft.get_peft_model(network, config).save_pretrained(str(base.parent / "lora"))
    (base.parent / "lora" / "svlm.json").write_text('{"min_pixels": 3136, "max_pixels": 6272}')
    return base.parent / "lora"


def test_it_opens_as_the_two_do(base: Path, adapter: Path, tmp_path: Path, forced: list[Path]) -> None:
    out = tmp_path / "new" / "out"
    assert main([str(base), str(adapter), str(out)]) == 0
    assert sorted(path.name for path in out.parent.iterdir() if not path.name.endswith(".lock")) == ["out"]
    two = load_model(str(base), adapter=str(adapter), device="cpu")
    one = load_model(str(out), device="cpu")
    assert one.patches == two.patches
    assert (one.patches.min_pixels, one.patches.max_pixels) == (3136, 6272)
    whole = dict(one.network.named_parameters(remove_duplicate=False))
    for name, weight in two.network.named_parameters(remove_duplicate=False):
        assert torch.equal(whole[name], weight.bfloat16().float()), name
    assert not torch.equal(whole["lm_head.weight"], whole["model.language_model.embed_tokens.weight"])
    assert {tensor.dtype for tensor in load_file(out / "model.safetensors").values()} == {torch.bfloat16}
    assert (out / "chat_template.jinja").is_file()
    assert not (out / "model.safetensors.index.json").exists()
    check_files(out, read_seal(out))
    assert read_seal(out).made_from["base"] == str(base)
    assert out.parent in forced
    plain = getattr(transformers, CLASS).from_pretrained(out, dtype=torch.float32).eval()
    torch.testing.assert_close(logits(plain), logits(one.network), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("what", "told", "code"),
    [
        ("there", "is there already", 2),
        ("claimed", "is being written by process", 1),
        ("no adapter", "a whole checkpoint, not an adapter", 1),
        ("misfit", "does not fit the model", 1),
    ],
)
def test_what_cannot_be_merged_leaves_nothing(
    what: str,
    told: str,
    code: int,
    base: Path,
    adapter: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out, update = tmp_path / "out", shutil.copytree(adapter, tmp_path / "lora")
    if what == "there":
        out.mkdir()
    if what == "no adapter":
        update = base
    if what == "misfit":
        config = json.loads((update / "adapter_config.json").read_text())
        (update / "adapter_config.json").write_text(json.dumps(config | {"r": 5}))
    if what == "claimed":
        with claim(out, "it"):
            assert main([str(base), str(update), str(out)]) == code
    else:
        assert main([str(base), str(update), str(out)]) == code
    assert told in capsys.readouterr().err
    left = {path.name for path in tmp_path.iterdir()} - {"lora"}
    assert {name for name in left if not name.endswith(".lock")} == ({"out"} if what == "there" else set())
