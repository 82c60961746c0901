"""Opening checkpoints: what is right opens, what is wrong says what and where."""

from __future__ import annotations

import json
import shutil

import pytest
import torch

from svlm_cli import ModelError, UsageError, load_model
from svlm_cli.model.family.markup import find_markup
from svlm_cli.model.random_checkpoint import (
    build_random_checkpoint,
    open_vocabulary,
    random_config,
    random_model,
)
from svlm_cli.model.random_checkpoint import main as build
from svlm_cli.train.published import model_config


def test_a_good_folder_opens(model, checkpoint):
    assert model.name == str(checkpoint)
    assert not model.is_bundled
    assert (model.device.type, model.dtype) == ("cpu", torch.float32)
    assert model.tokens_per_second == 2
    assert model.patches.factor == 28
    assert model.patches.max_pixels == 768 * 28 * 28


def test_ids_are_those_of_qwen():
    pytest.importorskip("dashscope", reason="the real Qwen vocabulary is in the dashscope package")
    tokenizer = open_vocabulary(None)
    markup = find_markup(tokenizer)
    assert (markup.turn_start, markup.turn_end) == (151644, 151645)
    assert (markup.vision_start, markup.vision_end, markup.video_pad) == (151652, 151653, 151656)
    assert markup.end_of_text == 151643
    encode = tokenizer.encode
    assert encode("<|im_start|>previous text\n", add_special_tokens=False) == [151644, 19702, 1467, 198]
    assert encode("Time", add_special_tokens=False) == [1462]
    assert len(encode(" ...", add_special_tokens=False)) == 1
    assert random_config("tiny", "qwen2_5_vl", tokenizer).text_config.vocab_size == 151_936


def test_environment_names_the_default(checkpoint, monkeypatch):
    monkeypatch.setenv("SVLM_MODEL", str(checkpoint))
    assert load_model(device="cpu").name == str(checkpoint)


def test_qwen2_vl_counts_patches_in_time(qwen2_vl_model):
    assert qwen2_vl_model.tokens_per_second is None


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


def test_weights_may_lie_in_shards(checkpoint, tmp_path):
    from transformers import AutoTokenizer, Qwen2_5_VLForConditionalGeneration

    network = Qwen2_5_VLForConditionalGeneration.from_pretrained(checkpoint)
    network.save_pretrained(tmp_path, max_shard_size="2MB")
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


def test_the_builder_writes_over_nothing(tmp_path, capsys):
    real = tmp_path / "real"
    real.mkdir()
    for name in ("config.json", "model.safetensors", "model-00001-of-00002.safetensors"):
        (real / name).write_text(name)
    assert build([str(real)]) == 2
    assert "is there already" in capsys.readouterr().err
    assert all(path.read_text() == path.name for path in real.iterdir())
    assert len(list(real.iterdir())) == 3


@pytest.mark.parametrize("content", [b"", b"\x00\xff noise \n" * 20, b"aGk= x\n"])
def test_a_vocabulary_that_is_none_is_refused(tmp_path, capsys, content):
    (tmp_path / "v.tiktoken").write_bytes(content)
    assert build([str(tmp_path / "out"), "--vocabulary", str(tmp_path / "v.tiktoken")]) == 1
    assert build([str(tmp_path / "out"), "--seed", "9" * 30]) == 2
    assert capsys.readouterr().err.count("error: ") == 2
    assert [path.name for path in tmp_path.iterdir() if "lock" not in path.name] == ["v.tiktoken"]


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
