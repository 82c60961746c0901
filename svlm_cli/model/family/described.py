"""What a checkpoint's files beside its weights say: read and checked before gigabytes are opened."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from svlm_cli import values
from svlm_cli.documents import read_json
from svlm_cli.errors import ModelError, boundary
from svlm_cli.model.adapter import base_of, stored_settings
from svlm_cli.model.family.livecc import format_of
from svlm_cli.model.family.markup import Markup, config_ids, find_markup
from svlm_cli.model.family.table import FAMILIES, check_text, markup_of, patch_settings, tokens_per_second
from svlm_cli.model.lean.config import lean_config
from svlm_cli.model.lean.tokenizer import plain_tokenizer
from svlm_cli.model.patches import PatchSettings, pixel_limits
from svlm_cli.model.seal import refuse_pointer
from svlm_cli.settings import PromptFormat

PREPROCESSOR_FILE, PROCESSOR_FILE = "preprocessor_config.json", "processor_config.json"
SUGGESTED_KEY, MOST_SUGGESTED, LONGEST_SUGGESTED = "suggested_questions", 8, 80
TOKENIZER_FILES = ("tokenizer.json", "vocab.json")


@dataclass(frozen=True, slots=True, eq=False)
class Description:
    """A checkpoint without its weights.

    Args:
        config: its configuration, as transformers reads it; of a plain Qwen2.5-VL or Qwen3-VL as svlm does.
        tokenizer, markup: what its prompts are written with.
        patches: how frames are cut for it.
        tokens_per_second: the rate of its time positions; None where the family counts temporal patches.
        prompt_format: what it, or the adapter beside it, was trained on; None where that is not said.
        suggested_questions: what it, or the adapter beside it, was trained to answer.
    """

    config: Any
    tokenizer: Any
    markup: Markup
    patches: PatchSettings
    tokens_per_second: float | None
    prompt_format: PromptFormat | None
    suggested_questions: tuple[str, ...] = ()


def describe(
    folder: Path, name: str, config: Mapping[str, Any], adapter: Path | None = None, *, packed: bool = False
) -> Description:
    """What the files of a checkpoint say beside its weights.

    Args:
        folder: the checkpoint's folder.
        name: the name of the model, as the user gave it.
        config: what ``read_config`` gave.
        adapter: the folder of an adapter, whose settings count before the checkpoint's.
        packed: it will be streamed only: then a plain tokenizer is opened without transformers.

    Raises:
        Exception: one of them is missing, or wrong.
    """
    tokenizer = _tokenizer(folder, name, config, packed=packed)
    read = lean_config(config) or _by_transformers(folder)
    check_text(read, name)
    markup = markup_of(tokenizer, read)
    _check_rows(markup, read, name)
    trained = dict(config.get("svlm", {}))
    trained |= {} if adapter is None else stored_settings(adapter)
    return Description(
        config=read,
        tokenizer=tokenizer,
        markup=markup,
        patches=_patch_settings(folder, trained, read),
        tokens_per_second=tokens_per_second(read),
        prompt_format=format_of(trained),
        suggested_questions=_suggested(trained.get(SUGGESTED_KEY)),
    )


def _suggested(told: Any) -> tuple[str, ...]:
    """Questions to show, as far as they are some."""
    found = told if isinstance(told, list) else []
    return tuple(each for each in found if isinstance(each, str) and 0 < len(each) <= LONGEST_SUGGESTED)[
        :MOST_SUGGESTED
    ]


def _read_json(path: Path, model: str) -> dict[str, Any]:
    try:
        refuse_pointer(path, model)
        content = read_json(path)
    except (OSError, ValueError) as error:
        raise ModelError(f"{path.name} of the model {model} cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise ModelError(f"{path.name} of the model {model} is not a JSON object")
    return content


def read_config(folder: Path, name: str) -> dict[str, Any]:
    """The content of a checkpoint's ``config.json``.

    Args:
        folder: the checkpoint's folder.
        name: the name of the model, as the user gave it.

    Raises:
        ModelError: there is none, or it describes no model of the families.
    """
    if not (folder / "config.json").is_file():
        if base := base_of(folder):
            raise ModelError(f"{name} is an adapter", f"type --model {base} --adapter {name}")
        raise ModelError(
            f"the model folder {name} has no config.json", "is this the checkpoint's own folder?"
        )
    config = _read_json(folder / "config.json", name)
    if config.get("model_type") not in FAMILIES:
        raise ModelError(
            f"the model {name} is of type {config.get('model_type')!r}",
            f"svlm streams with {', '.join(sorted(FAMILIES))}",
        )
    # Published checkpoints hold the text model's sizes flat, newer ones in a section of its own.
    text = config.get("text_config", config)
    if (
        not isinstance(config.get("vision_config"), dict)
        or not isinstance(text, dict)
        or "hidden_size" not in text
    ):
        raise ModelError(f"config.json of the model {name} does not describe its text and vision parts")
    return config


def _by_transformers(folder: Path) -> Any:
    import transformers

    from svlm_cli.model.library import silent_library

    with silent_library():
        return transformers.AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)


def _tokenizer(folder: Path, name: str, config: Mapping[str, Any], *, packed: bool) -> Any:
    if not any((folder / file).is_file() for file in TOKENIZER_FILES):
        raise ModelError(f"the model folder {name} has no tokenizer ({' or '.join(TOKENIZER_FILES)})")
    for file in ("tokenizer_config.json", *TOKENIZER_FILES):
        if (folder / file).is_file():
            refuse_pointer(folder / file, name)
    tokenizer = plain_tokenizer(folder) if packed else None
    if tokenizer is None:
        tokenizer = _transformers_tokenizer(folder, name)
    try:
        find_markup(tokenizer, dialect=FAMILIES[config["model_type"]].dialect)
    except KeyError as error:
        raise ModelError(
            f"the tokenizer of the model {name} does not know {error.args[0]}",
            f"svlm needs the chat markup of {config['model_type']}",
        ) from error
    _check_ids(config, tokenizer, name)
    return tokenizer


def _transformers_tokenizer(folder: Path, name: str) -> Any:
    import transformers

    with boundary(f"the tokenizer of the model {name} cannot be opened", ModelError):
        return transformers.AutoTokenizer.from_pretrained(
            folder, trust_remote_code=False, local_files_only=True
        )


def _check_ids(config: Mapping[str, Any], tokenizer: Any, name: str) -> None:
    """Where config.json numbers the markup around pictures, the tokenizer means the same by it."""
    for key, known in config_ids(tokenizer, FAMILIES[config["model_type"]].dialect).items():
        stated = config.get(key)
        if stated is not None and stated != known:
            raise ModelError(
                f"config.json of the model {name} has {key} {values.short(stated)}, its tokenizer {known}",
                "take both from the same checkpoint",
            )


def _check_rows(markup: Markup, read: Any, name: str) -> None:
    """The markup has embeddings; a tokenizer to which words were added without them goes past the last."""
    rows = read.text_config.vocab_size
    ids = (markup.turn_start, markup.vision_start, markup.vision_end, markup.video_pad, *markup.ends)
    if beyond := [each for each in ids if each is not None and each >= rows]:
        raise ModelError(
            f"the tokenizer of the model {name} numbers its markup up to {max(beyond)}, and the model has "
            f"embeddings for {rows} words",
            "take both from the same checkpoint",
        )


def _patch_settings(folder: Path, trained: Mapping[str, Any], read: Any) -> PatchSettings:
    """How pictures are cut: sizes from the vision tower, normalisation from the preprocessor.

    Pixel limits are the recipe's of StreamingVLM unless config.json records those of training under ``svlm``
    (``min_pixels``, ``max_pixels``, ``aspect_ratio``), or an adapter does; the preprocessor's are for stills.
    """
    known: dict[str, Any] = _normalisation(folder) | pixel_limits(trained)
    known |= {"aspect_ratio": tuple(trained["aspect_ratio"])} if "aspect_ratio" in trained else {}
    try:
        return patch_settings(read, **known)
    except ValueError as error:
        preprocessor = folder / PREPROCESSOR_FILE
        raise ModelError(f"{preprocessor} or the config.json beside it is wrong: {error}") from error


def _normalisation(folder: Path) -> dict[str, Any]:
    """As a preprocessor's file states it, or the section of a processor's that newer versions write."""
    for file, section in ((PREPROCESSOR_FILE, None), (PROCESSOR_FILE, "image_processor")):
        if not (folder / file).is_file():
            continue
        stored = _read_json(folder / file, str(folder))
        stored = stored if section is None else stored.get(section, {})
        if isinstance(stored, Mapping) and "image_mean" in stored:
            return {key: tuple(stored[key]) for key in ("image_mean", "image_std") if key in stored}
    return {}
