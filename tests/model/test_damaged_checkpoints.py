"""A checkpoint's own files: what they say counts, and damage in them is named in one line."""

from __future__ import annotations

import json
import math
import random
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from svlm_cli import ModelError, load_model
from svlm_cli.model.family.table import tokens_per_second
from svlm_cli.model.patches import PatchSettings, pixel_limits
from svlm_cli.train.plan import described


@pytest.fixture
def broken(checkpoint: Path, tmp_path: Path) -> Path:
    """A copy of the checkpoint to break; the big files are links."""
    folder = tmp_path / "model"
    folder.mkdir()
    for path in checkpoint.iterdir():
        if path.suffix == ".safetensors":
            (folder / path.name).symlink_to(path)
        else:
            shutil.copy(path, folder / path.name)
    return folder


def edit(path: Path, **changes: object) -> None:
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | changes))


def test_pixel_limits_of_the_checkpoint_count(broken):
    edit(broken / "config.json", svlm={"min_pixels": 3136, "max_pixels": 6272})
    patches = load_model(str(broken), device="cpu").patches
    assert (patches.min_pixels, patches.max_pixels) == (3136, 6272)


def _no_config(folder: Path) -> None:
    (folder / "config.json").unlink()


def _torn_config(folder: Path) -> None:
    (folder / "config.json").write_text('{"model_type": "qwen2')


def _foreign(folder: Path) -> None:
    edit(folder / "config.json", model_type="llama")


def _no_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


def _pickle(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def _torn_weights(folder: Path) -> None:
    content = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors").write_bytes(content[: len(content) // 2])


def _lost_shard(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "model-00001.safetensors")
    (folder / "model.safetensors.index.json").write_text(
        json.dumps(
            {"metadata": {}, "weight_map": {"a": "model-00001.safetensors", "b": "model-00002.safetensors"}}
        )
    )


def _fewer_weights(folder: Path) -> None:
    edit(folder / "config.json", text_config=_text_config(folder, num_hidden_layers=5, layer_types=None))


def _other_sizes(folder: Path) -> None:
    edit(folder / "config.json", text_config=_text_config(folder, intermediate_size=112))


def _text_config(folder: Path, **changes: object) -> dict:
    return json.loads((folder / "config.json").read_text())["text_config"] | changes


def _pickled_shard(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    (folder / "model.safetensors.index.json").write_text(
        json.dumps({"metadata": {}, "weight_map": {"a": "pytorch_model.bin"}})
    )


def _odd_index(folder: Path) -> None:
    _no_weights(folder)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": [1]}))


def _bare_config(folder: Path) -> None:
    (folder / "config.json").write_text('{"model_type": "qwen2_5_vl"}')


def _odd_vision(folder: Path) -> None:
    edit(folder / "config.json", vision_config="large")


def _odd_preprocessor(folder: Path) -> None:
    (folder / "preprocessor_config.json").write_text(json.dumps({"image_mean": [0.5]}))


def _no_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()


def _other_markup(folder: Path) -> None:
    path = folder / "tokenizer.json"
    path.write_text(path.read_text().replace("<|vision_start|>", "<|sight_start|>"))


def _dynamic_rope(folder: Path) -> None:
    rope = _text_config(folder)["rope_parameters"] | {"rope_type": "dynamic", "factor": 2.0}
    edit(folder / "config.json", text_config=_text_config(folder, rope_parameters=rope))


def _sliding(folder: Path) -> None:
    windows = {"use_sliding_window": True, "sliding_window": 8, "max_window_layers": 1, "layer_types": None}
    edit(folder / "config.json", text_config=_text_config(folder, **windows))


def _fewer_rows(folder: Path) -> None:
    rows = _text_config(folder)["vocab_size"]
    edit(folder / "config.json", text_config=_text_config(folder, vocab_size=rows - 3))


def _listed_type(folder: Path) -> None:
    edit(folder / "config.json", model_type=["qwen2_5_vl"])


def _deep_config(folder: Path) -> None:
    (folder / "config.json").write_text("[" * 100_000)


def _odd_pixels(folder: Path) -> None:
    edit(folder / "config.json", svlm={"min_pixels": None})


def _odd_trained(folder: Path) -> None:
    edit(folder / "config.json", svlm=7)


def _odd_mean(folder: Path) -> None:
    (folder / "preprocessor_config.json").write_text(json.dumps({"image_mean": 5}))


def _odd_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").write_text("[[]]")


def _flipped_header(folder: Path) -> None:
    path = folder / "model.safetensors"
    data = path.read_bytes()
    path.unlink()  # it may be another's too
    path.write_bytes(data[:8] + b"\xff" + data[9:])


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (_listed_type, "cannot be opened"),
        (_deep_config, "config.json of the model .* cannot be read"),
        (_odd_pixels, "cannot be opened"),
        (_odd_trained, "cannot be opened"),
        (_odd_mean, "cannot be opened"),
        (_odd_tokenizer, "tokenizer of the model .* cannot be opened"),
        (_flipped_header, "weights of the model .* cannot be opened"),
        (_no_config, "has no config.json"),
        (_torn_config, "config.json of the model .* cannot be read"),
        (_foreign, "is of type 'llama'"),
        (_no_weights, "has no weights"),
        (_pickle, "pickled weights only"),
        (_torn_weights, "weights of the model .* cannot be opened"),
        (_lost_shard, "lacks weight files: model-00002.safetensors"),
        (_fewer_weights, "lacks .* weights, the first is model.language_model.layers.3"),
        (_other_sizes, "weights of the model .* have not the shape"),
        (_pickled_shard, "pickled weights only"),
        (_odd_index, "names no weight files"),
        (_bare_config, "does not describe its text and vision parts"),
        (_odd_vision, "does not describe its text and vision parts"),
        (_odd_preprocessor, "preprocessor_config.json .* is wrong"),
        (_no_tokenizer, "has no tokenizer"),
        (_other_markup, r"does not know <\|vision_start\|>"),
        (_dynamic_rope, "dynamic RoPE"),
        (_sliding, "sliding windows"),
        (_fewer_rows, "numbers its markup up to .* and the model has embeddings for"),
    ],
)
def test_damage_is_named(broken, damage, says, capfd):
    damage(broken)
    with pytest.raises(ModelError, match=says) as raised:
        load_model(str(broken), device="cpu")
    assert "\n" not in str(raised.value)
    assert capfd.readouterr().err == "", "the error is all there is to read"


def test_absurd_numbers_are_refused_before_a_weight_is_read(broken, monkeypatch):
    network = "svlm_cli.model.checkpoint.network.open_network"
    monkeypatch.setattr(network, lambda *_: pytest.fail("gigabytes were read"))
    dice = random.Random("absurd")
    path = broken / "config.json"
    whole = json.loads(path.read_text())
    for key, value, told in [
        ("vision_config", whole["vision_config"] | {"tokens_per_second": -dice.randint(0, 5)}, "_per_second"),
        ("video_token_id", dice.randrange(150_000), "video_token_id"),
        ("svlm", {"min_pixels": 10 ** dice.randint(9, 30), "max_pixels": 10**30}, "min_pixels"),
    ]:
        path.write_text(json.dumps(whole | {key: value}))
        with pytest.raises(ModelError, match=told) as raised:
            load_model(str(broken), device="cpu")
        assert "\n" not in str(raised.value)
        if key != "video_token_id":  # a dry run opens no tokenizer
            with pytest.raises(ModelError, match=told):
                described(str(broken))
    path.write_text(json.dumps(whole))
    adapter = broken.parent / "adapter"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text('{"peft_type": "LORA"}')
    (adapter / "adapter_model.safetensors").write_bytes(b"")
    for settings, told in (({"max_pixels": 10**12}, "max_pixels"), ({"prompt_format": "x"}, "prompt_format")):
        (adapter / "svlm.json").write_text(json.dumps(settings))
        with pytest.raises(ModelError, match=told):
            load_model(str(broken), device="cpu", adapter=str(adapter))


@pytest.mark.parametrize("seed", range(10))
def test_rates_and_pixels_are_bounded(seed):
    dice = random.Random(f"bounds {seed}")
    for rate in (dice.uniform(0.1, 50), dice.randint(1, 30)):
        vision = SimpleNamespace(tokens_per_second=rate)
        assert tokens_per_second(SimpleNamespace(model_type="qwen2_5_vl", vision_config=vision)) == rate
        for absurd in (0, -rate, rate * 1e6, math.nan, None, str(rate)):
            vision.tokens_per_second = absurd
            with pytest.raises(ValueError, match="tokens_per_second"):
                tokens_per_second(SimpleNamespace(model_type="qwen2_5_vl", vision_config=vision))
    name, fine = dice.choice(["min_pixels", "max_pixels"]), dice.randint(1, 1 << 26)
    assert pixel_limits({name: fine}) == {name: fine}
    for absurd in ((1 << 26) + fine, 10 ** dice.randint(9, 40), 0, -fine, fine + 0.5, str(fine), None):
        with pytest.raises(ValueError, match=name):
            pixel_limits({name: absurd})
    with pytest.raises(ValueError, match="aspect_ratio"):
        PatchSettings(aspect_ratio=(10 ** dice.randint(4, 18), 1))
    with pytest.raises(ValueError, match="image_std"):
        PatchSettings(image_std=(0.5, dice.choice([0.0, math.nan, math.inf]), 0.5))
