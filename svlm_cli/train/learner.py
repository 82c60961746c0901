"""The model that a stage trains, with all that is needed to write its samples."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
import transformers

from svlm_cli.arena.asking.wording import SUGGESTED
from svlm_cli.data.chunks.chunk import QUERY
from svlm_cli.errors import ModelError, boundary
from svlm_cli.model.adapter import SETTINGS_FILE
from svlm_cli.model.attention import keep_flash_first
from svlm_cli.model.checkpoint.network import open_network
from svlm_cli.model.checkpoint.stored import check_stored
from svlm_cli.model.family.described import SUGGESTED_KEY
from svlm_cli.model.family.livecc import FORMAT_KEY, MAX_PIXELS, check_livecc, chosen_format
from svlm_cli.model.family.markup import Markup, find_markup
from svlm_cli.model.family.parts import LANGUAGE_PARTS, language_part, vision_weights
from svlm_cli.model.family.table import FAMILIES
from svlm_cli.model.load import load_model
from svlm_cli.model.patches import PatchSettings
from svlm_cli.model.prompt import PromptWriter
from svlm_cli.sections import LANGUAGE_LINEARS, Checkpoint, Lora, NewModel, Recipe, Stage
from svlm_cli.settings import PromptFormat
from svlm_cli.train.arena.seedling import (
    ASPECT_RATIO,
    IMAGE_MEAN,
    IMAGE_STD,
    PATCH_SIZE,
    grown_seedling,
    new_seedling,
)
from svlm_cli.train.arena.tower import quick_tower
from svlm_cli.train.arena.vocabulary import word_tokenizer
from svlm_cli.train.inputs import take_samples
from svlm_cli.train.rows import keep_trained_rows

NEW_TOKENS_PER_SECOND = 2.0
PREPROCESSOR_FILE = "preprocessor_config.json"


@dataclass(frozen=True, slots=True, eq=False)
class Learner:
    """A network to train and how its samples are written.

    Args:
        network: a Hugging Face model, or PEFT's around one.
        tokenizer: its tokenizer.
        patches: how frames become patches.
        markup: the markup of its prompts.
        tokens_per_second: the rate of its time positions; None where the family counts temporal patches.
        prompt_format: how its samples are written.
        beside: files, by name, that have to lie beside its weights.
    """

    network: Any
    tokenizer: Any
    patches: PatchSettings
    markup: Markup
    tokens_per_second: float | None
    prompt_format: PromptFormat = PromptFormat.SVLM
    beside: Mapping[str, str] = field(default_factory=dict)

    @property
    def writer(self) -> PromptWriter:
        """Of its prompts."""
        return PromptWriter(self.tokenizer, self.markup)

    @property
    def base(self) -> Any:
        """The network without PEFT around it."""
        return self.network.get_base_model() if hasattr(self.network, "get_base_model") else self.network


def open_learner(recipe: Recipe, stage: Stage, before: Path | None, *, is_begun: bool = False) -> Learner:
    """The model of a recipe, ready for a stage.

    Args:
        recipe: names the model.
        stage: says what of it is frozen.
        before: folder of a checkpoint of this stage, or of what the stage before left; None for neither.
        is_begun: it is a checkpoint of this stage.

    Raises:
        ModelError: it cannot be opened.
    """
    if isinstance(recipe.model, Checkpoint):
        learner = _checkpoint(recipe.model, before, recipe.seed)
    else:
        model = recipe.model
        if stage.takes == "vision" and before is not None and not is_begun:
            model, before = model.model_copy(update={"vision": before, "start": None}), None
        learner = _new(recipe, model, before)
        told = recipe.stages[: recipe.stages.index(stage) + 1]
        if any(each.mix.asked + each.mix.asked_deep + each.mix.asked_chunks for each in told):
            learner.network.config.svlm |= {SUGGESTED_KEY: list(SUGGESTED)}
    if not isinstance(recipe.model, Checkpoint) or recipe.model.lora is None:
        learner.network.requires_grad_(requires_grad=True)
        for _, weight in vision_weights(learner.network):
            weight.requires_grad = not stage.freeze_vision
    _set_attention(learner.base, recipe)
    keep_trained_rows(learner.base)
    take_samples(learner.base)
    return learner


def given_models(recipe: Recipe, *, from_checkpoint: bool) -> list[Path]:
    """Folders whose weights the first stage opens, beside those of a checkpoint that it goes on from."""
    model = recipe.model
    if isinstance(model, Checkpoint):
        return [Path(model.base)] if model.lora is not None or not from_checkpoint else []
    return [] if from_checkpoint else [given for given in (model.start, model.vision) if given is not None]


def new_tokenizer() -> Any:
    """The tokenizer of a model that knows the arena and nothing else."""
    from svlm_cli.arena.asking.wording import asking_words
    from svlm_cli.arena.narrate import vocabulary
    from svlm_cli.arena.setup import KITS

    first, *others = QUERY.split()
    return word_tokenizer([*vocabulary(), *asking_words(), *others], [*KITS, first])


def new_patch_settings(model: NewModel, pixels: int) -> PatchSettings:
    """How frames are cut for a new model."""
    return replace(
        PatchSettings(patch_size=PATCH_SIZE, merge_size=model.merge),
        image_mean=IMAGE_MEAN,
        image_std=IMAGE_STD,
        min_pixels=pixels,
        max_pixels=pixels,
        aspect_ratio=ASPECT_RATIO,
    )


def _new(recipe: Recipe, model: NewModel, before: Path | None) -> Learner:
    tokenizer = new_tokenizer()
    if before is not None:
        network = _load_new(before)
    elif model.start is not None:
        network = _with_all_words(_load_new(model.start), model.start, model, tokenizer, recipe.seed)
    else:
        network = new_seedling(model, tokenizer, recipe.seed)
        if model.vision is not None:
            network.model.visual.load_state_dict(_load_new(model.vision).model.visual.state_dict())
    normalisation = json.dumps({"image_mean": IMAGE_MEAN, "image_std": IMAGE_STD})
    patches = new_patch_settings(model, recipe.pixels)
    network.config.svlm = _pixels(patches) | _shape(patches)
    beside = {PREPROCESSOR_FILE: normalisation}
    return Learner(network, tokenizer, patches, find_markup(tokenizer), NEW_TOKENS_PER_SECOND, beside=beside)


def _with_all_words(network: Any, folder: Path, model: NewModel, tokenizer: Any, seed: int) -> Any:
    """A model to start from that was trained when the arena had fewer words."""
    with boundary(f"the model {folder} cannot be trained on", ModelError):
        known = words_of(folder)
        if known == tokenizer.get_vocab():
            return network
        return grown_seedling(model, tokenizer, seed, network, known)


def words_of(folder: Path) -> Mapping[str, int]:
    """The vocabulary of a model.

    Raises:
        ModelError: it cannot be read.
    """
    with boundary(f"the words of the model {folder} cannot be read", ModelError):
        return dict(transformers.AutoTokenizer.from_pretrained(folder).get_vocab())


def _load_new(folder: Path) -> Any:
    with boundary(f"the model {folder} cannot be opened", ModelError):
        config = transformers.AutoConfig.from_pretrained(folder)
        method = check_stored(folder, str(folder), config.to_dict())
        class_name = FAMILIES["qwen2_5_vl"].class_name
        return open_network(folder, str(folder), class_name, torch.float32, "sdpa", method)


def _checkpoint(model: Checkpoint, before: Path | None, seed: int) -> Learner:
    folder = model.base if before is None or model.lora is not None else str(before)
    opened = load_model(folder, device="cpu", dtype=model.weights)
    prompt_format = chosen_format(PromptFormat(model.prompt_format), model.base, opened.prompt_format)
    patches = with_pixels(opened.patches, model, prompt_format, opened.prompt_format)
    network, beside = opened.network, {}
    like_ours = replace(PatchSettings(), image_mean=patches.image_mean, image_std=patches.image_std)
    trained: dict[str, Any] = {}
    if patches.square is None and patches != like_ours:
        trained = _pixels(patches) | _shape(patches)
    if prompt_format is not PromptFormat.SVLM:
        trained[FORMAT_KEY] = prompt_format.value
    if trained:
        network.config.svlm = trained
    normalisation = {"image_mean": patches.image_mean, "image_std": patches.image_std}
    beside[PREPROCESSOR_FILE] = json.dumps(normalisation)
    if model.lora is not None:
        network = _adapted(network, model.lora, before, seed)
        beside[SETTINGS_FILE] = json.dumps(_pixels(patches) | {FORMAT_KEY: prompt_format.value})
    return Learner(
        network,
        opened.tokenizer,
        patches,
        opened.markup,
        opened.tokens_per_second,
        prompt_format,
        beside,
    )


def _pixels(patches: PatchSettings) -> dict[str, int]:
    """Recorded with the model, so that streaming resizes to what it was trained on."""
    if patches.square is not None:
        return {}
    return {"min_pixels": patches.min_pixels, "max_pixels": patches.max_pixels}


def _shape(patches: PatchSettings) -> dict[str, list[int]]:
    """Likewise, of a model that knows one shape of picture."""
    return {} if patches.aspect_ratio is None else {"aspect_ratio": list(patches.aspect_ratio)}


def with_pixels(
    patches: PatchSettings,
    model: Checkpoint,
    prompt_format: PromptFormat,
    trained: PromptFormat | None = None,
) -> PatchSettings:
    """How frames are cut for a checkpoint: its own limits or its format's, or the recipe's.

    Args:
        patches: the checkpoint's own.
        model: the section that may name others.
        prompt_format: the format of its samples.
        trained: the format that the checkpoint says it was trained on, whose limits are then its own.

    Raises:
        ModelError: the least is more than the most, or the model's frames have one size.
        UsageError: LiveCC's format for such a model.
    """
    if prompt_format is PromptFormat.LIVECC:
        check_livecc(patches)
    if prompt_format is PromptFormat.LIVECC and trained is not PromptFormat.LIVECC:
        patches = replace(patches, max_pixels=max(MAX_PIXELS, model.min_pixels or patches.min_pixels))
    if patches.square is not None and (model.min_pixels or model.max_pixels):
        side = patches.square.side
        raise ModelError(
            f"the model {model.base} reads every frame as {side} x {side} pixels",
            "leave min_pixels and max_pixels out",
        )
    try:
        return replace(
            patches,
            min_pixels=model.min_pixels or patches.min_pixels,
            max_pixels=model.max_pixels or patches.max_pixels,
        )
    except ValueError as error:
        raise ModelError(f"the recipe's pixels do not fit the model {model.base}: {error}") from error


def _adapted(network: Any, lora: Lora, before: Path | None, seed: int) -> Any:
    """A network with LoRA on its language model: a fresh adapter drawn by the seed, or that of ``before``."""
    import peft

    if before is not None:
        with boundary(f"the adapter {before} cannot be opened", ModelError):
            return peft.PeftModel.from_pretrained(network, str(before), is_trainable=True)
    lora_linears(network, lora)
    names = "|".join(re.escape(name) for name in lora.targets)
    config = peft.LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=rf".*({'|'.join(LANGUAGE_PARTS)})\..*\.({names})",
        task_type="CAUSAL_LM",
    )
    torch.manual_seed(seed)
    return peft.get_peft_model(network, config)


def lora_linears(network: Any, lora: Lora) -> list[torch.nn.Linear]:
    """The layers that an adapter is learnt beside.

    Args:
        network: a Hugging Face model.
        lora: the section that names them by the ends of their names.

    Raises:
        ModelError: a target that was chosen names no linear layer of the language model, or none is left.
    """
    ends = tuple(f".{target}" for target in lora.targets)
    linears = {
        name: module
        for name, module in language_part(network).named_modules()
        if isinstance(module, torch.nn.Linear)
    }
    found = {name: linear for name, linear in linears.items() if f".{name}".endswith(ends)}
    absent = [
        target for target in lora.targets if not any(f".{name}".endswith(f".{target}") for name in linears)
    ]
    if absent and (lora.targets != LANGUAGE_LINEARS or not found):
        known = sorted({name.rpartition(".")[2] for name in linears})
        raise ModelError(
            f"lora.targets: {', '.join(absent)}: no linear layer of the language model is called so",
            f"there are {', '.join(known)}; heads and embeddings are not trained by LoRA",
        )
    return list(found.values())


def _set_attention(network: Any, recipe: Recipe) -> None:
    if torch.cuda.is_available():
        keep_flash_first()
        flash = transformers.utils.is_flash_attn_2_available() and recipe.bfloat16
        wanted = recipe.attention
        if wanted == "auto":
            wanted = "flash_attention_2" if flash else "sdpa"
        elif wanted == "flash_attention_2" and not flash:
            raise ModelError("flash-attention 2 needs bfloat16 and its package", "pip install flash-attn")
        network.set_attn_implementation(wanted)
    elif recipe.attention == "flash_attention_2":
        raise ModelError("flash-attention 2 needs a CUDA device", "set attention: auto")
    elif isinstance(recipe.model, NewModel):
        network.set_attn_implementation({"text_config": "sdpa"})
        quick_tower(network)
