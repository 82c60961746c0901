"""Several channels: from sources on the command line, or from a YAML file of channels."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from svlm_cli.commands.options import ModelChoice, read_text_option
from svlm_cli.commands.stream.beside import Asking, Kept, Live
from svlm_cli.commands.stream.channel_keys import ChannelKeys, OneChannel, ProcessKeys, checked, parts
from svlm_cli.commands.stream.options import (
    MemoryChoice,
    OpeningChoice,
    PartChoice,
    SamplingChoice,
    SightChoice,
    stream_settings,
)
from svlm_cli.documents import MalformedError, read_text
from svlm_cli.errors import SvlmError, UsageError
from svlm_cli.media.address import LiveOptions, public_name
from svlm_cli.settings import Pace, StreamSettings
from svlm_cli.yaml_text import MOST_BYTES, parse_yaml

NAME = "{name}"
MOST_CHANNELS = 256
_MOST_PROBLEMS, _MOST_PLACES = 20, 4
_MOST_LETTERS = 64  # of a name, which stands in those of files
_ODD = re.compile(r"[^A-Za-z0-9._-]+")
_PLACED = ("out", "save_state", "resume", "trace", "ask_file")


@dataclass(frozen=True, slots=True)
class ChannelOptions:
    """What is a channel's own, as options give it.

    Args:
        sight, opening, memory, words, part, live, asking, kept: groups of options.
    """

    sight: SightChoice = field(default_factory=SightChoice)
    opening: OpeningChoice = field(default_factory=OpeningChoice)
    memory: MemoryChoice = field(default_factory=MemoryChoice)
    words: SamplingChoice = field(default_factory=SamplingChoice)
    part: PartChoice = field(default_factory=PartChoice)
    live: Live = field(default_factory=Live)
    asking: Asking = field(default_factory=Asking)
    kept: Kept = field(default_factory=Kept)

    @property
    def settings(self) -> StreamSettings:
        """Of its stream, but for the pace.

        Raises:
            SvlmError: a value outside its limits, a text that cannot be read.
        """
        opening, part = asdict(self.opening), self.part
        opening["previous_text"] = read_text_option(self.opening.previous_text)
        return stream_settings(
            self.sight,
            self.memory,
            self.words,
            max_answer_tokens=self.asking.max_answer_tokens,
            start=part.start,
            duration=part.duration,
            on_lag=part.on_lag,
            **opening,
        )

    @property
    def values(self) -> dict[str, Any]:
        """Every option by its name."""
        groups = [getattr(self, each.name) for each in fields(self)]
        return {own.name: getattr(group, own.name) for group in groups for own in fields(group)}

    def changed(self, values: Mapping[str, Any]) -> ChannelOptions:
        """The same with other values of some options."""
        made = {}
        for each in fields(self):
            group = getattr(self, each.name)
            own = {item.name: values[item.name] for item in fields(group) if item.name in values}
            made[each.name] = replace(group, **own)
        return ChannelOptions(**made)


@dataclass(frozen=True, slots=True)
class ChannelSpec:
    """One channel to be opened.

    Args:
        name: told with its events; stands for ``{name}`` in its paths.
        source: as its user named it.
        settings: but for the pace.
        live: how a live source is held.
        pace: None for what suits the source.
        asking, kept: what goes on beside it, and what it writes.
    """

    name: str
    source: str
    settings: StreamSettings
    live: LiveOptions
    pace: Pace | None
    asking: Asking
    kept: Kept


def named_channels(sources: Sequence[str], options: ChannelOptions) -> list[ChannelSpec]:
    """A channel for each source of the command line, all with the same options."""
    names = _unique([_base_name(source) for source in sources])
    return [_spec(name, source, options) for name, source in zip(names, sources, strict=True)]


class ChannelBook:
    """What channels are made by: the command line, and a file of channels where there is one.

    Args:
        options, model: what the command line says, for what the file does not.
        path: YAML: ``channels``, a list of ``source``, maybe ``name``, and options of ``svlm stream`` with
            dashes as underscores; ``defaults`` that all share, and in it what is of the process (``model``,
            ``device``, ...).

    Attributes:
        model: as the file last read has it.
    """

    def __init__(self, options: ChannelOptions, model: ModelChoice, path: Path | None = None) -> None:
        self.path = path
        self.model = model
        self._given = options, model
        self._shared = options

    @property
    def shared_path(self) -> Path | None:
        """A path that all channels which are added would write or read, as it does not tell their names."""
        values = [self._shared.values[key] for key in _PLACED]
        paths = [path for value in values for path in (value if isinstance(value, list) else [value])]
        return next((path for path in paths if path is not None and NAME not in str(path)), None)

    def read(self) -> tuple[list[ChannelSpec], ModelChoice]:
        """Read the file, now.

        Raises:
            UsageError: it cannot be read, or holds something else; tells all problems at once.
        """
        assert self.path is not None
        listed, shared, problems = _content(self.path)
        options, model = self._given
        of_process, of_channels = parts(shared)
        process = checked("defaults", ProcessKeys, of_process, problems)
        common = options.changed(checked("defaults", ChannelKeys, of_channels, problems))
        are_defaults_right = not problems
        own = [each if isinstance(each, dict) else {"source": each} for each in listed]
        names = [str(each.get("name") or _base_name(str(each.get("source", "")))) for each in own]
        specs: list[ChannelSpec] = []
        ill = _Ill()
        for number, (name, each) in enumerate(zip(names, own, strict=True)):
            num_before = len(problems)
            values = checked(f"channels.{number}", OneChannel, each, problems)
            if are_defaults_right and len(problems) == num_before:
                with ill.at(f"channels.{number}"):
                    specs.append(_spec(name, values["source"], common.changed(values)))
        problems += ill.told
        if doubled := sorted({name for name in names if names.count(name) > 1}):
            problems.append(f"channels: {', '.join(doubled)} is there twice: give each a name")
        _require_none(problems, f"the channels {self.path} are wrong")
        self._shared, self.model = common, replace(model, **process)
        return specs, self.model

    def spec(self, entry: Mapping[str, object]) -> ChannelSpec:
        """One channel more, from an entry as in a file; what it does not say is as the file last had it.

        Raises:
            UsageError: it holds something else; tells all problems at once.
            SvlmError: a value outside its limits.
        """
        problems: list[str] = []
        values = checked("channel", OneChannel, entry, problems)
        _require_none(problems, "the channel is wrong")
        name = values.get("name") or _base_name(values["source"])
        return _spec(name, values["source"], self._shared.changed(values))


class _Ill:
    """Channels whose options do not go together, by what is wrong with them: it may be the same for all."""

    def __init__(self) -> None:
        self._places: dict[str, list[str]] = {}

    @contextmanager
    def at(self, place: str) -> Iterator[None]:
        """Keep what is raised there."""
        try:
            yield
        except SvlmError as error:
            self._places.setdefault(str(error), []).append(place)

    @property
    def told(self) -> list[str]:
        """A problem each, with the channels that have it."""
        return [f"{_listed(places)}: {told}" for told, places in self._places.items()]


def _listed(places: Sequence[str]) -> str:
    more = f" and {len(places) - _MOST_PLACES} more" if len(places) > _MOST_PLACES else ""
    return ", ".join(places[:_MOST_PLACES]) + more


def _content(path: Path) -> tuple[list[Any], dict[Any, Any], list[str]]:
    """Entries and defaults of a file of channels, and what is wrong with it so far."""
    try:
        content = parse_yaml(read_text(path, MOST_BYTES))
    except OSError as error:
        raise UsageError(f"the channels {path} cannot be read: {error.strerror}") from error
    except MalformedError as error:
        raise UsageError(f"the channels {path} cannot be read: {error}") from error
    listed = content.get("channels") if isinstance(content, dict) else None
    if not isinstance(listed, list) or not listed or len(listed) > MOST_CHANNELS:
        raise UsageError(
            f"the channels {path} have no list of 1 to {MOST_CHANNELS} `channels`",
            "write e.g. channels: [{name: a, source: a.mp4}, {name: b, source: b.mp4}]",
        )
    problems = [f"{key}: unknown key" for key in content if key not in ("defaults", "channels")]
    shared = content.get("defaults") or {}
    if not isinstance(shared, dict):
        return listed, {}, [*problems, "defaults: not a mapping"]
    return listed, shared, problems


def _require_none(problems: Sequence[str], what: str) -> None:
    if problems:
        more = [f"{len(problems) - _MOST_PROBLEMS} more"] if len(problems) > _MOST_PROBLEMS else []
        raise UsageError(f"{what}: {'; '.join([*problems[:_MOST_PROBLEMS], *more])}")


def _spec(name: str, source: str, options: ChannelOptions) -> ChannelSpec:
    placed = {key: _placed(value, name) for key, value in options.values.items() if key in _PLACED}
    own = options.changed(placed)
    settings, held = own.settings, own.live.options(waits=True)
    return ChannelSpec(name, source, settings, held, own.part.pace, own.asking, own.kept)


def _placed(value: Any, name: str) -> Any:
    if isinstance(value, list):
        return [_placed(each, name) for each in value]
    return Path(str(value).replace(NAME, name)) if isinstance(value, Path) else value


def _base_name(source: str) -> str:
    """What a source is called: the last part of its path without suffix, fit for a file name.

    A name is shown to all who look on: no key and no password may stand in it.
    """
    source = public_name(source)
    path = urlsplit(source).path if "://" in source else source
    stem = Path(path).name.rsplit(".", 1)[0] if Path(path).suffix else Path(path).name or source
    return _ODD.sub("-", stem)[:_MOST_LETTERS].strip("-.") or "channel"


def _unique(names: Sequence[str]) -> list[str]:
    made: list[str] = []
    for name in names:
        number, unique = 1, name
        while unique in made:
            number += 1
            unique = f"{name}-{number}"
        made.append(unique)
    return made
