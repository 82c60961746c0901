"""The curriculum of a recipe on transformers' Trainer, through its own hooks only."""

from __future__ import annotations

import functools
import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import transformers
from torch.utils.data import Dataset

from svlm_cli.data.arena_dataset import QUERY, ArenaDataset, Mix
from svlm_cli.data.chunk_dataset import ChunkDataset
from svlm_cli.data.sample import IGNORED, FeatureSource, MixedDataset, Sample, collate
from svlm_cli.data.vocabulary import word_tokenizer
from svlm_cli.model.patches import PatchSettings
from svlm_cli.model.prompt import PromptWriter, find_markup
from svlm_cli.model.window import WindowLimits
from svlm_cli.recipe import Recipe, Stage, dump_recipe
from svlm_cli.train.optimizer import new_optimizer
from svlm_cli.train.seedling import IMAGE_MEAN, IMAGE_STD, PATCH_SIZE, new_seedling, size_of
from svlm_cli.train.vision_cache import VisionCache, add_features

TOKENS_PER_SECOND = 2.0
PAD = "<|endoftext|>"
RECIPE_FILE = "recipe.yaml"
PREPROCESSOR_FILE = "preprocessor_config.json"


def token_loss(
    outputs: Any,
    labels: torch.Tensor,
    num_items_in_batch: torch.Tensor | None = None,
    *,
    z_loss: float = 0.0,
) -> torch.Tensor:
    """Mean cross entropy over the trained tokens of a whole step, however they fall into micro-batches.

    Args:
        outputs: of the model; logits of shape (B, N, v).
        labels: (B, N), of the same places as the inputs.
        num_items_in_batch: trained tokens of the step; None for those of ``labels``.
        z_loss: weight of ``z_penalty``.
    """
    wanted = labels[:, 1:]
    chosen = wanted != IGNORED
    logits = outputs.logits[:, :-1][chosen].float()
    total = torch.nn.functional.cross_entropy(logits, wanted[chosen], reduction="sum")
    if z_loss:
        total = total + z_loss * z_penalty(logits)
    return total / (chosen.sum() if num_items_in_batch is None else num_items_in_batch)


def z_penalty(logits: torch.Tensor) -> torch.Tensor:
    """Sum over tokens of the squared logarithm of the softmax's denominator (z-loss; PaLM, arXiv 2204.02311).

    It leaves the softmax free and pulls the logit of a sure token to 0, where a repetition penalty, which
    divides positive logits and multiplies negative ones, does nothing to it.

    Args:
        logits: float32, shape (tokens, v).
    """
    return torch.logsumexp(logits, dim=-1).square().sum()


def train(recipe: Recipe, output: Path, *, resume: bool = True) -> Path:
    """Run every stage of a recipe.

    Args:
        recipe: what to do.
        output: folder; each stage writes checkpoints into ``output/STAGE`` and its result into
            ``output/STAGE/final``.
        resume: go on from the last checkpoint of an interrupted run, skip stages that are done.

    Returns:
        The folder of the last stage's model, which ``svlm stream --model`` opens.
    """
    output.mkdir(parents=True, exist_ok=True)
    if int(os.environ.get("RANK", "0")) == 0:
        (output / RECIPE_FILE).write_text(dump_recipe(recipe), encoding="utf-8")
    tokenizer = new_tokenizer()
    before: Path | None = None
    for number, stage in enumerate(recipe.stages):
        folder = output / stage.name
        final = folder / "final"
        if not (resume and final.is_dir()):
            _run_stage(recipe, stage, number, before, folder, tokenizer, resume=resume)
        before = final
    return output / recipe.stages[-1].name / "final"


def new_tokenizer() -> Any:
    """The tokenizer of a model that knows the arena and nothing else."""
    from svlm_cli.arena.narrate import vocabulary
    from svlm_cli.arena.setup import KITS

    first, *others = QUERY.split()
    return word_tokenizer([*vocabulary(), *others], [*KITS, first])


def patch_settings(recipe: Recipe) -> PatchSettings:
    """How frames are cut for the recipe's model."""
    return replace(
        PatchSettings(patch_size=PATCH_SIZE, merge_size=recipe.model.merge),
        image_mean=IMAGE_MEAN,
        image_std=IMAGE_STD,
        min_pixels=recipe.pixels,
        max_pixels=recipe.pixels,
    )


def _run_stage(
    recipe: Recipe,
    stage: Stage,
    number: int,
    before: Path | None,
    folder: Path,
    tokenizer: Any,
    *,
    resume: bool,
) -> None:
    network = _network(recipe, before, tokenizer)
    if not torch.cuda.is_available():
        # Many small blocks: torch's fused CPU kernel takes a quarter longer for the whole tower.
        network.set_attn_implementation({"vision_config": "eager", "text_config": "sdpa"})
    for weight in network.model.visual.parameters():
        weight.requires_grad_(not stage.freeze_vision)
    arguments = _arguments(recipe, stage, folder)
    windows = folder.parent / recipe.data.windows
    features = None
    if stage.cache_vision:
        add_features(network)
        features = VisionCache(windows, network, patch_settings(recipe)).features
    dataset = _dataset(recipe, stage, number, tokenizer, windows, features, arguments.world_size)
    optimizer = new_optimizer(
        network, stage.optimizer, stage.learning_rate, stage.weight_decay, stage.vision_rate
    )
    trainer = transformers.Trainer(
        model=network,
        args=arguments,
        train_dataset=dataset,
        data_collator=functools.partial(_collated, pad_id=tokenizer.convert_tokens_to_ids(PAD)),
        processing_class=tokenizer,
        compute_loss_func=functools.partial(token_loss, z_loss=stage.z_loss),
        optimizers=(optimizer, _schedule(optimizer, stage)),
    )
    last = transformers.trainer_utils.get_last_checkpoint(str(folder)) if resume and folder.is_dir() else None
    trainer.train(resume_from_checkpoint=last)
    final = folder / "final"
    if stage is recipe.stages[-1]:
        network.to(dtype=getattr(torch, recipe.save_dtype))
    partial = folder / "final.partial"
    trainer.save_model(str(partial))
    if trainer.is_world_process_zero():
        normalisation = {"image_mean": IMAGE_MEAN, "image_std": IMAGE_STD}
        (partial / PREPROCESSOR_FILE).write_text(json.dumps(normalisation), encoding="utf-8")
        shutil.rmtree(final, ignore_errors=True)
        partial.rename(final)
    trainer.accelerator.wait_for_everyone()  # the next stage reads what the first process wrote


def _dataset(
    recipe: Recipe,
    stage: Stage,
    number: int,
    tokenizer: Any,
    windows: Path,
    features: FeatureSource | None,
    world_size: int,
) -> Dataset[Sample]:
    """Everything a stage draws from, in its shares."""
    writer, patches = PromptWriter(tokenizer, find_markup(tokenizer)), patch_settings(recipe)
    seed = recipe.seed * 1000 + number
    num_samples = stage.steps * stage.micro_batch * stage.accumulate * world_size
    group = 2 * stage.micro_batch  # micro-batches of two processes take about as long as each other
    weights = stage.mix.model_dump()
    parts: list[tuple[Dataset[Sample], float]] = []
    if any(weights.values()):
        arena = ArenaDataset(
            writer,
            patches,
            Mix(**weights),
            seed=seed,
            num_samples=num_samples,
            group=group,
            windows=windows,
            num_windows=recipe.data.num_windows,
            num_plays=recipe.data.num_plays,
            features=features,
        )
        parts.append((arena, sum(weights.values())))
    for source in stage.chunks:
        chunks = ChunkDataset(
            writer,
            patches,
            TOKENS_PER_SECOND,
            folder=source.path,
            name=source.name,
            fps=source.fps,
            limits=WindowLimits(source.sink, source.text_window, 16, 16),
            seed=seed,
            num_samples=num_samples,
            features=features,
        )
        parts.append((chunks, source.weight))
    return MixedDataset(parts, seed=seed, num_samples=num_samples, group=group)


def _collated(samples: Sequence[Sample], pad_id: int) -> dict[str, torch.Tensor]:
    return collate(samples, pad_id)


def _network(recipe: Recipe, before: Path | None, tokenizer: Any) -> Any:
    start = before or recipe.model.start
    if start is not None:
        return _load(start)
    size = size_of(recipe.model)
    network = new_seedling(size, tokenizer, recipe.pixels, recipe.seed)
    if recipe.model.vision is not None:
        network.model.visual.load_state_dict(_load(recipe.model.vision).model.visual.state_dict())
    return network


def _load(folder: Path) -> Any:
    return transformers.Qwen2_5_VLForConditionalGeneration.from_pretrained(folder, dtype=torch.float32)


def _arguments(recipe: Recipe, stage: Stage, folder: Path) -> transformers.TrainingArguments:
    return transformers.TrainingArguments(
        output_dir=str(folder),
        max_steps=stage.steps,
        per_device_train_batch_size=stage.micro_batch,
        gradient_accumulation_steps=stage.accumulate,
        bf16=recipe.bfloat16,
        use_cpu=not torch.cuda.is_available(),
        seed=recipe.seed,
        train_sampling_strategy="sequential",
        remove_unused_columns=False,
        ddp_find_unused_parameters=True,
        dataloader_pin_memory=False,
        logging_steps=10,
        save_steps=stage.save_steps,
        save_total_limit=3,
        report_to="none",
        disable_tqdm=True,
    )


def _schedule(optimizer: torch.optim.Optimizer, stage: Stage) -> torch.optim.lr_scheduler.LambdaLR:
    """Linear warm-up, then a linear decay to ``end_share`` of the peak."""

    def share(step: int) -> float:
        if step < stage.warmup_steps:
            return (step + 1) / stage.warmup_steps
        done = (step - stage.warmup_steps) / max(1, stage.steps - stage.warmup_steps)
        return 1 - (1 - stage.end_share) * min(1.0, done)

    return torch.optim.lr_scheduler.LambdaLR(optimizer, share)
