"""Opening checkpoints: what is right opens, what is wrong says what and where."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from svlm_cli import ModelError, UsageError, load_model
from svlm_cli.model.random_checkpoint import (
    build_random_checkpoint,
    open_vocabulary,
    random_config,
    random_model,
)
from svlm_cli.model.random_checkpoint import main as build
from svlm_cli.train.published import model_config


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


def test_a_good_folder_opens(model, checkpoint):
    assert model.name == str(checkpoint)
    assert not model.is_bundled
    assert (model.device.type, model.dtype) == ("cpu", torch.float32)
    assert model.tokens_per_second == 2
    assert model.patches.factor == 28
    assert model.patches.max_pixels == 768 * 28 * 28


def test_ids_are_those_of_qwen(model):
    markup = model.markup
    assert (markup.turn_start, markup.turn_end) == (151644, 151645)
    assert (markup.vision_start, markup.vision_end, markup.video_pad) == (151652, 151653, 151656)
    assert markup.end_of_text == 151643
    encode = model.tokenizer.encode
    assert encode("<|im_start|>previous text\n", add_special_tokens=False) == [151644, 19702, 1467, 198]
    assert encode("Time", add_special_tokens=False) == [1462]
    assert len(encode(" ...", add_special_tokens=False)) == 1


def test_environment_names_the_default(checkpoint, monkeypatch):
    monkeypatch.setenv("SVLM_MODEL", str(checkpoint))
    assert load_model(device="cpu").name == str(checkpoint)


def test_qwen2_vl_counts_patches_in_time(qwen2_vl_model):
    assert qwen2_vl_model.tokens_per_second is None


def test_pixel_limits_of_the_checkpoint_count(broken):
    edit(broken / "config.json", svlm={"min_pixels": 3136, "max_pixels": 6272})
    patches = load_model(str(broken), device="cpu").patches
    assert (patches.min_pixels, patches.max_pixels) == (3136, 6272)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("/no/such/folder", "no model folder /no/such/folder"),
        ("./here", "no model folder ./here"),
        ("one-word", "no model folder one-word"),
        ("a/b/c", "no model folder a/b/c"),
        ("no spaces/allowed here", "neither a folder nor a Hugging Face id"),
    ],
)
def test_missing_folders(name, says):
    with pytest.raises(ModelError, match=says):
        load_model(name, device="cpu")


def test_an_unreachable_hub_is_said(monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError, match="hub cannot be reached"):
        load_model("mit-han-lab/StreamingVLM", device="cpu")


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "weights").write_text("x")
    with pytest.raises(ModelError, match="a file, not a folder"):
        load_model(str(tmp_path / "weights"), device="cpu")


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
    (folder / "model.safetensors.index.json").write_text(
        json.dumps({"metadata": {}, "weight_map": {"a": "model.safetensors", "b": "model-00002.safetensors"}})
    )


def _fewer_weights(folder: Path) -> None:
    edit(folder / "config.json", text_config=_text_config(folder, num_hidden_layers=5, layer_types=None))


def _other_sizes(folder: Path) -> None:
    edit(folder / "config.json", text_config=_text_config(folder, intermediate_size=112))


def _text_config(folder: Path, **changes: object) -> dict:
    return json.loads((folder / "config.json").read_text())["text_config"] | changes


def _pickled_shard(folder: Path) -> None:
    (folder / "pytorch_model.bin").write_bytes(b"x")
    (folder / "model.safetensors.index.json").write_text(
        json.dumps({"metadata": {}, "weight_map": {"a": "pytorch_model.bin"}})
    )


def _odd_index(folder: Path) -> None:
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
        (_other_sizes, "weights of the model .* cannot be opened"),
        (_pickled_shard, "pickled weights only"),
        (_odd_index, "names no weight files"),
        (_bare_config, "does not describe its text and vision parts"),
        (_odd_vision, "does not describe its text and vision parts"),
        (_odd_preprocessor, "preprocessor_config.json .* is wrong"),
        (_no_tokenizer, "has no tokenizer"),
        (_other_markup, r"does not know <\|vision_start\|>"),
        (_dynamic_rope, "dynamic RoPE"),
    ],
)
def test_damage_is_named(broken, damage, says, capfd):
    damage(broken)
    with pytest.raises(ModelError, match=says) as raised:
        load_model(str(broken), device="cpu")
    assert "\n" not in str(raised.value)
    assert capfd.readouterr().err == "", "the error is all there is to read"


def test_weights_may_lie_in_shards(checkpoint, tmp_path):
    from transformers import AutoTokenizer, Qwen2_5_VLForConditionalGeneration

    network = Qwen2_5_VLForConditionalGeneration.from_pretrained(checkpoint)
    network.save_pretrained(tmp_path, max_shard_size="20MB")
    AutoTokenizer.from_pretrained(checkpoint).save_pretrained(tmp_path)
    assert (tmp_path / "model.safetensors.index.json").is_file()
    opened = load_model(str(tmp_path), device="cpu").network
    for before, after in zip(network.parameters(), opened.parameters(), strict=True):
        assert torch.equal(before, after)


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"device": "tpu"}, UsageError),
        ({"device": "mps"}, UsageError),
        ({"dtype": "float16"}, UsageError),
        ({"attention": "eager"}, UsageError),
        ({"device": "cpu", "attention": "flash_attention_2"}, UsageError),
    ],
)
def test_wrong_choices_are_usage(checkpoint, wrong, error):
    with pytest.raises(error):
        load_model(str(checkpoint), **wrong)


@pytest.mark.skipif(torch.cuda.is_available(), reason="says what happens without CUDA")
def test_absent_cuda_is_said(checkpoint):
    with pytest.raises(ModelError, match="torch sees 0 CUDA devices"):
        load_model(str(checkpoint), device="cuda:1")


def test_bfloat16_streams(checkpoint):
    from svlm_cli import Sampling, StreamSession, StreamSettings
    from tests.stream.engine import clips

    model = load_model(str(checkpoint), device="cpu", dtype="bfloat16")
    options = StreamSettings(vision_window=2, rounds=2, sampling=Sampling(greedy=True, max_new_tokens=4))
    session = StreamSession(model, options)
    events = [session.step(clip) for clip in clips(6)]
    assert session.cache.held(0)[0].dtype is torch.bfloat16
    assert events[-1].num_new_tokens >= 1


def test_the_builder_says_what_is_missing(tmp_path, capsys):
    assert build([str(tmp_path / "out"), "--vocabulary", str(tmp_path / "none.tiktoken")]) == 1
    assert "there is no vocabulary file" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_published_layout_opens(checkpoint, tmp_path):
    """Hub checkpoints of Qwen2.5-VL: flat text config, ``rope_scaling``, weights named visual.*, model.*."""
    from safetensors.torch import load_file, save_file

    renamed = {
        name.replace("model.language_model.", "model.").replace("model.visual.", "visual."): weight
        for name, weight in load_file(checkpoint / "model.safetensors").items()
    }
    save_file(renamed, tmp_path / "model.safetensors", metadata={"format": "pt"})
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(checkpoint / name, tmp_path / name)
    config = json.loads((checkpoint / "config.json").read_text())
    text = config.pop("text_config")
    rope = text.pop("rope_parameters")
    flat = {key: text[key] for key in text if key not in ("model_type", "layer_types")}
    scaling = {"type": "mrope", "mrope_section": rope["mrope_section"]}
    published = flat | config | {"rope_theta": rope["rope_theta"], "rope_scaling": scaling}
    (tmp_path / "config.json").write_text(json.dumps(published))
    ours, theirs = (load_model(str(folder), device="cpu").network for folder in (checkpoint, tmp_path))
    weights = dict(theirs.named_parameters())
    assert len(weights) == len(dict(ours.named_parameters()))
    for name, weight in ours.named_parameters():
        assert torch.equal(weight, weights[name]), name
    rotary = theirs.model.language_model.rotary_emb
    assert list(rotary.mrope_section) == list(ours.model.language_model.rotary_emb.mrope_section)


def test_a_model_made_in_place_is_that_of_the_folder(tmp_path, checkpoint):
    """Random weights without a file: the same shapes, ways and numbers as those that go through one."""
    tokenizer = open_vocabulary(str(checkpoint))
    torch.manual_seed(0)
    made = random_model(
        random_config("tiny", "qwen2_5_vl", tokenizer), tokenizer, name="r", device="cpu", dtype=torch.float32
    )
    stored = load_model(
        str(build_random_checkpoint(tmp_path / "r", vocabulary=str(checkpoint))), device="cpu"
    )
    theirs = stored.network.state_dict()
    assert {name: weight.shape for name, weight in made.network.state_dict().items()} == {
        name: weight.shape for name, weight in theirs.items()
    }
    assert all(torch.equal(weight, theirs[name]) for name, weight in made.network.state_dict().items())
    assert (made.markup, made.patches, made.tokens_per_second) == (
        stored.markup,
        stored.patches,
        stored.tokens_per_second,
    )
    kernels = [each.network.config.text_config._attn_implementation for each in (made, stored)]
    assert kernels[0] == kernels[1]


def test_published_shapes_have_the_positions_of_their_family():
    config = model_config("Qwen/Qwen2.5-VL-7B-Instruct")
    assert config.text_config.rope_parameters["mrope_section"] == [16, 24, 24]
    assert config.text_config.rope_parameters["rope_theta"] == 1e6
