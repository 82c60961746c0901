"""What PEFT would leave out of an adapter in silence is said, or refused."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from svlm_cli.errors import ModelError
from svlm_cli.model.adapter import check_adapter
from tests.model.checkpoint.test_adapters_as_they_exist import check, merged, network_of, stored, trained

pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.filterwarnings("ignore")]


@pytest.mark.parametrize("name", ["non_lora_state_dict.bin", "non_lora_trainables.bin", "vit.safetensors"])
def test_weights_trained_beside_a_lora_are_not_left_out(name: str, tmp_path: Path) -> None:
    folder = stored(trained(network_of(), 0, target_modules=["q_proj"]), tmp_path / "lora")
    assert check_adapter(folder) == folder
    (folder / name).write_bytes(b"weights")
    with pytest.raises(ModelError, match=re.escape(f"trained weights beside its LoRA ({name})")):
        check_adapter(folder)


@pytest.mark.parametrize(
    ("settings", "refused"),
    [
        ({"use_new": True}, "use_new"),
        ({"new_config": {"rank": 3}}, "new_config"),
        ({"use_new": False, "new_config": None, "new_size": 16, "new_names": [], "new_way": "fast"}, None),
    ],
)
def test_what_a_newer_peft_has_switched_on_is_not_left_out(
    settings: dict[str, Any], refused: str | None, tmp_path: Path
) -> None:
    network = network_of()
    adapted = trained(network, 0, target_modules=["q_proj"])
    folder = stored(adapted, tmp_path / "lora")
    path = folder / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | settings))
    if refused is None:
        check(network, adapted, folder)
    else:
        with pytest.raises(ModelError, match=f"sets {refused}, which the installed PEFT does not know"):
            merged(network, folder)


@pytest.mark.parametrize("wrong", [float("nan"), float("inf")])
def test_numbers_that_are_none_are_not_the_base_s(wrong: float, tmp_path: Path) -> None:
    folder = stored(trained(network_of(), 0, target_modules=["q_proj"]), tmp_path / "lora")
    tensors = load_file(folder / "adapter_model.safetensors")
    key = random.Random(str(wrong)).choice(sorted(tensors))
    tensors[key].view(-1)[-1] = wrong
    save_file(tensors, folder / "adapter_model.safetensors")
    with pytest.raises(ModelError, match=re.escape(f"the adapter {folder} are damaged: numbers of {key}")):
        merged(network_of(), folder)
