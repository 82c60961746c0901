"""A training run as typed values, read from YAML; no torch.

Every problem is told at once, an unknown key with the nearest name. ``key=value`` settings (dotted
keys, list items by number) override the file before it is checked.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError

from svlm_cli.errors import UsageError
from svlm_cli.sections import CHECKPOINT, NEW_MODEL, Recipe


def load_recipe(path: Path, settings: Sequence[str] = ()) -> Recipe:
    """Read a recipe.

    Args:
        path: a YAML file.
        settings: ``key=value`` each, e.g. ``stages.0.steps=100``; values are YAML.

    Raises:
        UsageError: a file that cannot be read, a malformed setting, or a recipe with problems; names all
            of them.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise UsageError(f"the recipe {path} cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise UsageError(f"the recipe {path} holds no sections")
    for setting in settings:
        _apply(content, setting)
    try:
        return Recipe.model_validate(content)
    except ValidationError as error:
        problems = "; ".join(_problem(detail) for detail in error.errors())
        raise UsageError(f"the recipe {path} is wrong: {problems}") from error


def dump_recipe(recipe: Recipe) -> str:
    """The resolved recipe as YAML, every default written out; ``load_recipe`` reads it back."""
    return yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False)


def _apply(content: dict[str, Any], setting: str) -> None:
    key, equals, text = setting.partition("=")
    if not equals or not key:
        raise UsageError(f"--set {setting}: expected key=value", "e.g. --set stages.0.steps=100")
    *path, last = key.split(".")
    place: Any = content
    for step in path:
        if isinstance(place, list) and step.isdigit() and int(step) < len(place):
            place = place[int(step)]
        elif isinstance(place, dict):
            place = place.setdefault(step, {})
        else:
            raise UsageError(f"--set {setting}: there is no {step} in the recipe")
    value = yaml.safe_load(text)
    if isinstance(place, list) and last.isdigit() and int(last) < len(place):
        place[int(last)] = value
    elif isinstance(place, dict):
        place[last] = value
    else:
        raise UsageError(f"--set {setting}: there is no {last} in the recipe")


def _problem(detail: Any) -> str:
    place = [step for step in detail["loc"] if step not in (NEW_MODEL, CHECKPOINT)]
    dotted = ".".join(str(step) for step in place)
    if detail["type"] != "extra_forbidden":
        message = str(detail["msg"]).removeprefix("Value error, ")
        message = f"{message[:1].lower()}{message[1:]}"
        return f"{dotted}: {message}" if dotted else message
    close = get_close_matches(str(place[-1]), _names(detail["loc"][:-1]), n=1, cutoff=0.4)
    return f"{dotted}: unknown key" + (f", did you mean {close[0]}?" if close else "")


def _names(path: Sequence[int | str]) -> list[str]:
    """The keys a section at this place may have."""
    found: list[type[BaseModel]] = [Recipe]
    for step in path:
        if step in (NEW_MODEL, CHECKPOINT):
            found = [section for section in found if ("base" in section.model_fields) == (step == CHECKPOINT)]
        elif isinstance(step, str):
            found = [inner for section in found for inner in _sections(section.model_fields[step].annotation)]
    return [name for section in found for name in section.model_fields]


def _sections(annotation: Any) -> Iterator[type[BaseModel]]:
    """The sections that a type names, however deep in unions and tuples."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _sections(inner)
