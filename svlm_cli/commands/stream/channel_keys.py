"""What may stand in an entry of a file of channels: the options of ``svlm stream``, within their limits."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from difflib import get_close_matches
from enum import Enum
from typing import Annotated, Any, get_args, get_type_hints

import typer
from pydantic import AfterValidator, BaseModel, Field, ValidationError, create_model
from pydantic_core import PydanticCustomError
from typer.models import OptionInfo

from svlm_cli.commands.options import ModelChoice
from svlm_cli.commands.stream.beside import Asking, Kept, Live
from svlm_cli.commands.stream.options import (
    MemoryChoice,
    OpeningChoice,
    PartChoice,
    SamplingChoice,
    SightChoice,
)
from svlm_cli.sections.base import Section

_CHANNEL_GROUPS = (SightChoice, OpeningChoice, MemoryChoice, SamplingChoice, PartChoice, Live, Asking, Kept)
_OF_PROCESS = frozenset(each.name for each in fields(ModelChoice))
_OF_ALL = frozenset({"ask", "serve", "cors", "max_channels"})  # of the terminal and the page
_MAY_BE_INFINITE = {"reconnect_seconds"}


def parts(content: Mapping[Any, Any]) -> tuple[dict[Any, Any], dict[Any, Any]]:
    """What of ``defaults`` is of the process, and what of a channel."""
    process = {key: value for key, value in content.items() if key in _OF_PROCESS}
    return process, {key: value for key, value in content.items() if key not in _OF_PROCESS}


def checked(
    place: str, section: type[BaseModel], content: Mapping[Any, Any], problems: list[str]
) -> dict[str, Any]:
    """The values that a section sets; what is wrong with it is added to the problems."""
    plain = {str(key): _text_of_switch(value, section, str(key)) for key, value in content.items()}
    try:
        made = section.model_validate(plain)
    except ValidationError as error:
        for detail in error.errors(include_url=False, include_context=False):
            key = ".".join(str(step) for step in detail["loc"])
            problems.append(f"{place}.{key}: {_told(detail, section)}")
        return {}
    return {key: getattr(made, key) for key in made.model_fields_set}


def _told(detail: Any, section: type[BaseModel]) -> str:
    key = str(detail["loc"][0])
    if detail["type"] != "extra_forbidden":
        message = str(detail["msg"])
        return f"{message[:1].lower()}{message[1:]}"
    if key in _OF_PROCESS:
        return "is of the process: it stands in defaults, or on the command line"
    if key in _OF_ALL:
        return "is of the process: it stands on the command line"
    close = get_close_matches(key, section.model_fields, n=1, cutoff=0.4)
    return "unknown key" + (f", did you mean {close[0]}?" if close else "")


def _text_of_switch(value: Any, section: type[BaseModel], key: str) -> Any:
    """YAML takes ``on`` and ``off`` for truth values, and one path for no list."""
    known = section.model_fields.get(key)
    kind = None if known is None else known.annotation
    if isinstance(value, bool) and isinstance(kind, type) and issubclass(kind, Enum):
        return "on" if value else "off"
    return [value] if key == "out" and isinstance(value, str) else value


def _keys(title: str, kinds: Sequence[type[Any]], **more: Any) -> type[BaseModel]:
    """A section whose keys are the options of some groups."""
    hints: dict[str, Any] = {}
    for kind in kinds:
        known = get_type_hints(kind, include_extras=True)
        hints |= {each.name: _limited(known[each.name]) for each in fields(kind) if each.name not in _OF_ALL}
    made: dict[str, Any] = {key: (hint, None) for key, hint in hints.items()} | more
    for key in _MAY_BE_INFINITE & hints.keys():
        made[key] = (Annotated[float, Field(ge=0, allow_inf_nan=True)], None)
    return create_model(title, __base__=Section, **made)


def _limited(hint: Any) -> Any:
    """The type of an option with the limits that the command line sets it."""
    kind, *known = get_args(hint)
    (own,) = (each for each in known if isinstance(each, OptionInfo))
    kind = Annotated[kind, Field(ge=own.min, le=own.max)]
    return kind if own.callback is None else Annotated[kind, AfterValidator(_as_typed(own.callback))]


def _as_typed(callback: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """What checks the value of an option on the command line, for one of a file."""

    def check(value: Any) -> Any:
        try:
            return callback(value)
        except typer.BadParameter as error:
            raise PydanticCustomError("option", "{told}", {"told": error.message}) from error

    return check


ProcessKeys = _keys("ProcessKeys", (ModelChoice,))
ChannelKeys = _keys("ChannelKeys", _CHANNEL_GROUPS)
OneChannel = _keys("OneChannel", _CHANNEL_GROUPS, source=(str, ...), name=(str, ""))
