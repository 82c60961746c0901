"""Whatever stands in a title, a name or a model's words: no command lets it steer the terminal."""

from __future__ import annotations

import io
import json
import random
import re
from dataclasses import replace
from pathlib import Path

import pytest
from rich.progress import Progress as Bars
from rich.text import Text

from svlm_cli.cli import exit_code
from svlm_cli.commands import align_view, fetch_view
from svlm_cli.commands.bench import view as bench_view
from svlm_cli.commands.engine import Invocation
from svlm_cli.commands.output import TalkConsole, emit, print_error, tell_left_out
from svlm_cli.commands.stream import view as stream_view
from svlm_cli.data.fetch.folder import Fetched
from svlm_cli.data.fetch.one import FetchProgress
from svlm_cli.data.manifest import Video
from svlm_cli.data.words.aligner import Aligned, AlignOutcome
from svlm_cli.errors import SourceError
from svlm_cli.stream.outputs.formats import json_line
from svlm_cli.text import as_json
from svlm_cli.types import AnswerEvent, EndEvent, StartEvent, StepEvent, WarningEvent

PARTS = [
    "\x1b]0;owned\x07", "\x1b[2J", "\x1b]52;c;eA==\x1b\\", "\x9b31m", "\x9d8;;x\x9c", "\x00", "\x08", "\r",
    "\x7f", "\u202e", "\u2066", "\u2028", "\ud83d", "goal", " ", "[red]", "é",
]  # fmt: skip
# What rich itself writes: colours, the cursor, lines to be drawn again.
OWN = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\r(?=\x1b)|\n")
STEERING = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\u2028\u2029\ud800-\udfff]")
MARKS = ("owned\x07", "\x1b]", "\x1b[2J")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def hostile(seed: int) -> str:
    chance = random.Random(seed)
    return "".join(chance.choice(PARTS) for _ in range(12))


def is_inert(shown: str) -> bool:
    return not STEERING.search(OWN.sub("", shown)) and not any(mark in shown for mark in MARKS)


@pytest.fixture(params=[io.StringIO, Terminal])
def talk(request: pytest.FixtureRequest) -> io.StringIO:
    return request.param()


@pytest.mark.parametrize("seed", range(20))
def test_everything_a_console_prints_is_inert(talk: io.StringIO, seed: int) -> None:
    text, console = hostile(seed), TalkConsole(talk)
    console.print(text)
    console.print(text, Text(text, style="bold"), style="dim")
    with console.status(Text(text)), Bars(console=console) as bars:
        bars.add_task(text.replace("[", "("), total=3)
        bars.refresh()
    assert is_inert(talk.getvalue())
    assert talk.getvalue()


@pytest.mark.parametrize("mark", ["\a", "\b", "\v", "\f", "\r", "\x1b", "\x9b"])
def test_no_control_character_vanishes(talk: io.StringIO, mark: str) -> None:
    TalkConsole(talk).print(f"go{mark}al")
    assert f"go\\x{ord(mark):02x}al" in OWN.sub("", talk.getvalue())
    if mark not in "\r\n":
        TalkConsole(talk).tell(f"two  bl{mark}anks")
        assert f"two  bl\\x{ord(mark):02x}anks" in OWN.sub("", talk.getvalue())


def test_a_name_with_line_breaks_makes_no_line_of_its_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text, talk = "goal\nerror: forged\r\nerror: forged\a", io.StringIO()
    console = TalkConsole(talk)
    video = Video("a", text, text, text, text, 1.0, 8, 8, 1.0, False, "0", "2026-01-01")
    with fetch_view.FetchView(console, is_quiet=False) as view:
        view.show(Fetched(text, video, is_new=True), tmp_path / text)
        view.show(Fetched(text, None, problem=text), tmp_path)
        view.list_failures([Fetched(text, None, problem=text)])
    with align_view.AlignView(console, is_quiet=False) as lines:
        lines.show(Aligned(replace(video, id=text), AlignOutcome.FAILED, reason=text))
    bench_view.BenchView().warn(text)
    shown = (talk.getvalue() + capsys.readouterr().err).splitlines()
    assert len(shown) == 6
    assert not any(line.startswith("error") for line in shown)
    assert shown[3].startswith("  goal error: forged error: forged\\x07: ")


@pytest.mark.parametrize("seed", range(10))
def test_the_views_of_fetch_and_align(talk: io.StringIO, seed: int, tmp_path: Path) -> None:
    text, console = hostile(seed), TalkConsole(talk)
    video = Video("a", text, text, text, text, 1.0, 8, 8, 1.0, False, "0", "2026-01-01")
    with fetch_view.FetchView(console, is_quiet=False) as view:
        view.progress(FetchProgress(text, text, 1, 2))
        view.show(Fetched(text, video, is_new=True), tmp_path / text.replace("\0", ""))
        view.list_failures([Fetched(text, None, problem=text)])
    with align_view.AlignView(console, is_quiet=False) as lines:
        lines.show(Aligned(replace(video, id=text), AlignOutcome.FAILED, reason=text))
    assert is_inert(talk.getvalue())


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("json_lines", [False, True])
def test_the_events_of_a_stream(talk: io.StringIO, seed: int, json_lines: bool) -> None:
    text, data = hostile(seed), type(talk)()
    events = [
        StartEvent("0", text, text, "cpu", "float32", {"title": text}),
        StepEvent(0, 0.0, 1.0, text, 2, 3, 9, 5),
        AnswerEvent(0, 0.0, 1.0, text, text, 3),
        WarningEvent(text, 1.0),
        EndEvent(1, 1.0, 1.0, 1.0, 0.1, 0.1, 0.1, 1, 0),
    ]
    with stream_view.StreamView(json=json_lines, verbose=True, out=data, err=talk) as view:
        for event in events:
            view.show(event)
        view.show_typed(text)
        view.busy(text)
        view.finish((text,))
    assert is_inert(talk.getvalue())
    assert is_inert(data.getvalue())
    if json_lines:
        kinds = [json.loads(line)["type"] for line in data.getvalue().splitlines()]
        assert kinds == ["start", "step", "answer", "warning", "end"]


@pytest.mark.parametrize("seed", range(10))
def test_data_and_json_are_inert_and_json_stays_json(seed: int) -> None:
    text, data = hostile(seed), io.StringIO()
    emit(text, data)
    emit(as_json({text: [text]}, 2), data)
    assert is_inert(data.getvalue())
    ((key, (value,)),) = json.loads(as_json({text: [text]})).items()
    assert key == value == text.replace("\ud83d", "\ufffd")
    json_line(WarningEvent(text)).encode()


def test_errors_and_tracebacks_are_inert(capsys: pytest.CaptureFixture[str]) -> None:
    text = hostile(3)

    def fail() -> None:
        raise SourceError(text)

    assert exit_code(fail, Invocation(verbose=True)) == 1
    print_error(text)
    shown = capsys.readouterr().err
    assert "Traceback" in shown
    assert is_inert(shown)


@pytest.mark.parametrize("seed", range(4))
def test_folders_are_no_files_that_are_left_out(seed: int) -> None:
    dice = random.Random(seed)
    files = [f"{number}.txt" for number in range(dice.randrange(3))]
    folders = [f"{number}.day" for number in range(dice.randrange(3))]
    told = io.StringIO()
    names = sorted([*files, *(f"{name}/" for name in folders)])
    tell_left_out(TalkConsole(told), "air", names, "neither video nor sound")
    lines = told.getvalue().splitlines()
    left_out = [line for line in lines if "neither video nor sound" in line]
    inner = [line for line in lines if "folders within air are not looked into" in line]
    assert (len(left_out), len(inner)) == (bool(files), bool(folders))
    assert all(name in "".join(left_out) for name in files)
    assert all(f"{name}/" in "".join(inner) and name not in "".join(left_out) for name in folders)
