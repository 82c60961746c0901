"""Names and shapes of all tensors of a checkpoint by its sizes: what has others is left to transformers."""

from __future__ import annotations

from svlm_cli.model.lean.config import DeepVisionConfig, LeanConfig, TextConfig, VisionConfig

HEAD, TABLE = "lm_head.weight", "text.embed_tokens.weight"
Shapes = dict[str, tuple[int, ...]]


def shapes_of(config: LeanConfig) -> Shapes:
    """By plain names, as ``weights.Weights`` has them."""
    text, vision = config.text_config, config.vision_config
    table = (text.vocab_size, text.hidden_size)
    shapes: Shapes = {TABLE: table, "text.norm.weight": (text.hidden_size,)}
    if not config.is_tied:
        shapes[HEAD] = table
    for number in range(text.num_hidden_layers):
        shapes |= {f"text.layers.{number}.{name}": shape for name, shape in _text_layer(text).items()}
    block = _block(vision) if isinstance(vision, VisionConfig) else _deep_block(vision)
    for number in range(vision.depth):
        shapes |= {f"visual.blocks.{number}.{name}": shape for name, shape in block.items()}
    patch = (vision.in_channels, vision.temporal_patch_size, vision.patch_size, vision.patch_size)
    shapes["visual.patch_embed.proj.weight"] = (vision.hidden_size, *patch)
    return shapes | (_mergers(vision) if isinstance(vision, VisionConfig) else _deep_mergers(vision))


def _text_layer(text: TextConfig) -> Shapes:
    size, inner = text.hidden_size, text.intermediate_size
    queries, states = (
        heads * text.head_dim for heads in (text.num_attention_heads, text.num_key_value_heads)
    )
    shapes: Shapes = {
        "input_layernorm.weight": (size,),
        "post_attention_layernorm.weight": (size,),
        "self_attn.q_proj.weight": (queries, size),
        "self_attn.k_proj.weight": (states, size),
        "self_attn.v_proj.weight": (states, size),
        "self_attn.o_proj.weight": (size, queries),
        "mlp.gate_proj.weight": (inner, size),
        "mlp.up_proj.weight": (inner, size),
        "mlp.down_proj.weight": (size, inner),
    }
    if text.is_third:
        return shapes | {f"self_attn.{name}_norm.weight": (text.head_dim,) for name in ("q", "k")}
    return shapes | {
        "self_attn.q_proj.bias": (queries,),
        "self_attn.k_proj.bias": (states,),
        "self_attn.v_proj.bias": (states,),
    }


def _block(vision: VisionConfig) -> Shapes:
    size, inner = vision.hidden_size, vision.intermediate_size
    return {
        "norm1.weight": (size,),
        "norm2.weight": (size,),
        **_linear("attn.qkv", 3 * size, size),
        **_linear("attn.proj", size, size),
        **_linear("mlp.gate_proj", inner, size),
        **_linear("mlp.up_proj", inner, size),
        **_linear("mlp.down_proj", size, inner),
    }


def _deep_block(vision: DeepVisionConfig) -> Shapes:
    size, inner = vision.hidden_size, vision.intermediate_size
    return {
        **_norm("norm1", size),
        **_norm("norm2", size),
        **_linear("attn.qkv", 3 * size, size),
        **_linear("attn.proj", size, size),
        **_linear("mlp.linear_fc1", inner, size),
        **_linear("mlp.linear_fc2", size, inner),
    }


def _mergers(vision: VisionConfig) -> Shapes:
    wide = vision.hidden_size * vision.spatial_merge_size**2
    return {
        "visual.merger.ln_q.weight": (vision.hidden_size,),
        **_linear("visual.merger.mlp.0", wide, wide),
        **_linear("visual.merger.mlp.2", vision.out_hidden_size, wide),
    }


def _deep_mergers(vision: DeepVisionConfig) -> Shapes:
    size = vision.hidden_size
    wide = size * vision.spatial_merge_size**2
    shapes: Shapes = {
        "visual.patch_embed.proj.bias": (size,),
        "visual.pos_embed.weight": (vision.num_position_embeddings, size),
    }
    deep = (f"deepstack_merger_list.{number}" for number in range(len(vision.deepstack_visual_indexes)))
    for name in ("merger", *deep):
        shapes |= _norm(f"visual.{name}.norm", size if name == "merger" else wide)
        shapes |= _linear(f"visual.{name}.linear_fc1", wide, wide)
        shapes |= _linear(f"visual.{name}.linear_fc2", vision.out_hidden_size, wide)
    return shapes


def _linear(name: str, num_outputs: int, num_inputs: int) -> Shapes:
    return {f"{name}.weight": (num_outputs, num_inputs), f"{name}.bias": (num_outputs,)}


def _norm(name: str, size: int) -> Shapes:
    return {f"{name}.weight": (size,), f"{name}.bias": (size,)}
