"""A checkpoint as llama.cpp's two files: the language model (``qwen2``), the tower (``mmproj``).

As its own converters write them, but for two things: the words of the vocabulary are made up (none is read),
and the architecture is ``qwen2``, which turns keys by one position a token instead of three: the same work.
"""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np

from benchmarks.peer_parts.shapes import GRID, IMAGE_MEAN, IMAGE_STD, Checkpoint

KINDS = {
    "float32": (gguf.GGMLQuantizationType.F32, gguf.LlamaFileType.ALL_F32),
    "bfloat16": (gguf.GGMLQuantizationType.BF16, gguf.LlamaFileType.MOSTLY_BF16),
    "int8": (gguf.GGMLQuantizationType.Q8_0, gguf.LlamaFileType.MOSTLY_Q8_0),
}
SPECIAL = {
    151_643: "<|endoftext|>",
    151_645: "<|im_end|>",
    151_652: "<|vision_start|>",
    151_653: "<|vision_end|>",
}
LAYER = {
    "input_layernorm.weight": "attn_norm.weight",
    "post_attention_layernorm.weight": "ffn_norm.weight",
    "self_attn.o_proj.weight": "attn_output.weight",
    **{f"mlp.{name}_proj.weight": f"ffn_{name}.weight" for name in ("gate", "up", "down")},
    **{f"self_attn.{n}_proj.{part}": f"attn_{n}.{part}" for n in "qkv" for part in ("weight", "bias")},
}
BLOCK = {
    "norm1.weight": "ln1.weight",
    "norm2.weight": "ln2.weight",
    **{f"attn.proj.{part}": f"attn_out.{part}" for part in ("weight", "bias")},
    **{f"mlp.{n}_proj.{p}": f"ffn_{n}.{p}" for n in ("gate", "up", "down") for p in ("weight", "bias")},
}


def write_files(checkpoint: Checkpoint, number_format: str, folder: Path) -> tuple[Path, Path]:
    """Write both into a folder; their paths."""
    paths = folder / f"language-{number_format}.gguf", folder / f"tower-{number_format}.gguf"
    _language(checkpoint, number_format, paths[0])
    _tower(checkpoint, number_format, paths[1])
    return paths


def _add(writer: gguf.GGUFWriter, name: str, tensor: np.ndarray, number_format: str) -> None:
    """Matrices in the format, where its blocks fit in their rows; all else in float32."""
    kind = KINDS[number_format][0]
    fits = tensor.ndim == 2 and tensor.shape[1] % gguf.GGML_QUANT_SIZES[kind][0] == 0
    kind = kind if fits else gguf.GGMLQuantizationType.F32
    data = np.ascontiguousarray(tensor, dtype=np.float32)
    if kind is not gguf.GGMLQuantizationType.F32:
        data = gguf.quants.quantize(data, kind)
    writer.add_tensor(name, data, raw_dtype=kind)


def _closed(writer: gguf.GGUFWriter) -> None:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _language(checkpoint: Checkpoint, number_format: str, path: Path) -> None:
    text = checkpoint.text
    writer = gguf.GGUFWriter(path, "qwen2")
    writer.add_block_count(text["num_hidden_layers"])
    writer.add_context_length(text["max_position_embeddings"])
    writer.add_embedding_length(text["hidden_size"])
    writer.add_feed_forward_length(text["intermediate_size"])
    writer.add_head_count(text["num_attention_heads"])
    writer.add_head_count_kv(text["num_key_value_heads"])
    writer.add_rope_freq_base(text["rope_parameters"]["rope_theta"])
    writer.add_layer_norm_rms_eps(text["rms_norm_eps"])
    writer.add_file_type(KINDS[number_format][1])
    words = list(gguf_bytes()) + [f"word{number}" for number in range(256, text["vocab_size"])]
    types = [gguf.TokenType.NORMAL] * len(words)
    for number, word in SPECIAL.items():
        words[number], types[number] = word, gguf.TokenType.CONTROL
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(words)
    writer.add_token_types(types)
    writer.add_token_merges(["a b"])
    writer.add_eos_token_id(151_645)
    writer.add_bos_token_id(151_643)
    writer.add_add_bos_token(False)
    _add(writer, "token_embd.weight", checkpoint.tensors["model.embed_tokens.weight"], number_format)
    _add(writer, "output_norm.weight", checkpoint.tensors["model.norm.weight"], number_format)
    for number in range(text["num_hidden_layers"]):
        for name, tensor in checkpoint.pick(f"model.layers.{number}.").items():
            _add(writer, f"blk.{number}.{LAYER[name]}", tensor, number_format)
    _closed(writer)


def gguf_bytes() -> list[str]:
    """The 256 bytes as characters, as byte-level vocabularies write them."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    shifted = iter(range(256, 512))
    return [chr(byte) if byte in plain else chr(next(shifted)) for byte in range(256)]


def _tower(checkpoint: Checkpoint, number_format: str, path: Path) -> None:
    vision = checkpoint.vision
    own = checkpoint.pick("visual.")
    writer = gguf.GGUFWriter(path, "clip")
    writer.add_file_type(KINDS[number_format][1])
    writer.add_clip_has_vision_encoder(True)
    writer.add_clip_projector_type("qwen2.5vl_merger")
    writer.add_bool("clip.use_silu", True)
    writer.add_vision_projection_dim(vision["out_hidden_size"])
    writer.add_vision_image_size(max(GRID) * vision["patch_size"])
    writer.add_vision_patch_size(vision["patch_size"])
    writer.add_vision_embedding_length(vision["hidden_size"])
    writer.add_vision_feed_forward_length(vision["intermediate_size"])
    writer.add_vision_block_count(vision["depth"])
    writer.add_vision_head_count(vision["num_heads"])
    writer.add_vision_attention_layernorm_eps(1e-6)
    writer.add_vision_image_mean(IMAGE_MEAN)
    writer.add_vision_image_std(IMAGE_STD)
    (whole,) = vision["fullatt_block_indexes"]
    writer.add_vision_n_wa_pattern(whole + 1)
    pair = own["patch_embed.proj.weight"]
    for name, half in (("v.patch_embd.weight", pair[:, :, 0]), ("v.patch_embd.weight.1", pair[:, :, 1])):
        _add(writer, name, half, number_format)
    _add(writer, "v.post_ln.weight", own["merger.ln_q.weight"], number_format)
    for number in ("0", "2"):
        for part in ("weight", "bias"):
            _add(writer, f"mm.{number}.{part}", own[f"merger.mlp.{number}.{part}"], number_format)
    for number in range(vision["depth"]):
        for name, tensor in checkpoint.pick(f"visual.blocks.{number}.").items():
            if name.startswith("attn.qkv"):
                for letter, part in zip("qkv", np.split(tensor, 3), strict=True):
                    _add(writer, f"v.blk.{number}.attn_{letter}.{name.split('.')[-1]}", part, number_format)
            else:
                _add(writer, f"v.blk.{number}.{BLOCK[name]}", tensor, number_format)
    _closed(writer)
