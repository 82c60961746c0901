"""Every command that a page, a recipe or a help page shows is run here, or by the test that ``ELSEWHERE``
names, or says what it needs (``# needs: a GPU``). They are found in the text: a new one is run as well.

They run as they stand, in a folder that has what a reader would have by then, but for a while only: of
addresses there are stand-ins (a match for a camera, a tiny checkpoint for StreamingVLM), and ``SHORTER`` ends
early what would take long. What is marked must be typed right: its options are those of the command.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer

from svlm_cli.cli import app
from tests.documented import ROOT, Block, Documented, blocks_of, inline, pages

# A pattern of commands, the file that runs them, and a word of it that says so.
ELSEWHERE = {
    r"curl .*127\.0\.0\.1.*": (
        "tests/stream/page/test_api_document.py",
        "test_the_lines_of_the_document_run",
    ),
    r"kill -HUP PID": ("tests/commands/stream/test_coming_and_going.py", "SIGHUP"),
    r"python docs/generate_cli\.py": ("tests/commands/test_cli_docs.py", "test_the_reference_is_current"),
    r"pip install -c constraints\.txt -e '\.\[dev\]' && python -m pytest": (".ci/run", "eval"),
    r"python -m pytest\b.*": (".ci/run", "eval"),
    r"ruff check \. && ruff format --check \. && mypy": (".ci/run", "mypy"),
    r"bash \.ci/run": (".ci/run", "eval"),
    r"svlm bench (commentary|livesports|ovo|longvideo|report) .*": ("tests/bench/test_readme.py", "README"),
}
STAND_INS = {
    r"rtsp://camera\.local/\S*?(?=[\s\"',}]|$)": "arena:soccer,seed=1,minutes=1",
    r"https://host/live\.m3u8": "arena:soccer,seed=2,minutes=1",
    r"(mit-han-lab/StreamingVLM|Qwen/Qwen2\.5-VL-7B-Instruct)": "checkpoint",
    r"minutes=2(?= --speak)|minutes=2(?=' --speak)|minutes=2(?= clips/)": "minutes=0.5",
}
SHORTER = {
    "svlm stream": "--duration 2",
    "svlm bench arena": "--matches 1 --minutes 0.05 --workers 1",
    "svlm bench fps": "--seconds 3 --floor-steps 1",
    "python -m svlm_cli.model.random_checkpoint": "--vocabulary {vocabulary}",
    "svlm chunk": "--min-words-per-second 0 --split 0",
}
ENDLESS = re.compile(r"svlm stream push:")  # waits for whoever sends pictures
OF_README = re.compile(r"README\.md:")


def command_of(words: list[str]) -> tuple[Any, list[str]]:
    """The command of the parser that words name, and what is left of them."""
    found, rest = typer.main.get_command(app), words[1:]
    while rest and hasattr(found, "commands"):
        assert rest[0] in found.commands, f"no such command: {' '.join(words)}"
        found, rest = found.commands[rest[0]], rest[1:]
    return found, rest


def misspelt(text: str) -> list[str]:
    """Options that the ``svlm`` commands of a line have not, and recipes that are not there."""
    found: list[str] = []
    if not re.search(r"\bsvlm\b", text):
        return found
    for part in re.split(r" (?:&&|\||;) ", text):
        words = shlex.split(part)
        at = next((k for k, word in enumerate(words) if word == "svlm" and words[k - 1][:2] != "--"), None)
        if at is None:
            continue
        command, rest = command_of(words[at:])
        known = {
            name for each in command.params for name in [*each.opts, *each.secondary_opts]
        } | {"--help", "-h"}  # fmt: skip
        options = [word.partition("=")[0] for word in rest if re.match(r"--?[a-z]", word)]
        found += [option for option in options if option not in known]
    ours = re.findall(r"(?:^| )((?:recipes|tests|docs|benchmarks|\.ci)/[\w./-]+)", text)
    return found + [path for path in ours if not (ROOT / path).exists()]


EVERY = [block for page in pages() for block in blocks_of(page)]
COMMANDS = [command for block in EVERY for command in block]


def elsewhere(command: Documented) -> tuple[str, str] | None:
    """Where else a command is run; of the benchmarks those of README's block."""
    for pattern, place in ELSEWHERE.items():
        is_there = "README" not in place or OF_README.match(command.place)
        if is_there and re.fullmatch(pattern, command.text):
            return place
    return None


def to_run(block: Block) -> Block:
    return tuple(command for command in block if not command.needs and elsewhere(command) is None)


RUN = list(
    {tuple(each.text for each in found): found for block in EVERY if (found := to_run(block))}.values()
)


def test_commands_are_found_on_every_kind_of_page() -> None:
    found = {command.place.split(":")[0] for command in COMMANDS}
    assert {"README.md", "CONTRIBUTING.md", "docs/cli.md", "docs/data.md", "recipes/stage1.yaml"} <= found
    assert len(COMMANDS) > 150
    assert sum(map(len, RUN)) > 40


def test_what_a_command_needs_is_read(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# A\n\n```sh\n# needs: the hub\nsvlm align a \\\n    --clean off\n"
        "svlm align b   # needs: a GPU, or two\n# needs: nothing else\nsvlm chunk c   # all of it\n"
        "svlm chunk d   # all of it (needs: a disk)\n```\n\n"
        "Text\n\n    svlm train x.yaml\n    no command\n\n```python\nsvlm = 1\n```\n"
    )
    assert [[(each.text, each.needs) for each in block] for block in blocks_of(page)] == [
        [
            ("svlm align a --clean off", "the hub"),
            ("svlm align b", "a GPU, or two"),
            ("svlm chunk c", ""),
            ("svlm chunk d", "a disk"),
        ],
        [("svlm train x.yaml", "")],
    ]
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        "# On 8 GPUs: svlm train a.yaml --nproc 8   (needs: 8 GPUs)\n# svlm x is not one\nseed: 1\n"
    )
    assert [each.text for block in blocks_of(recipe) for each in block] == [
        "svlm train a.yaml --nproc 8",
        "svlm x is not one",
    ]


def test_a_wrong_option_is_found() -> None:
    assert misspelt("cat x | svlm stream - --fsp 2 --out a.vtt") == ["--fsp"]
    assert misspelt("svlm train recipes/gone.yaml -o runs") == ["recipes/gone.yaml"]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.place)
def test_a_command_is_typed_right(command: Documented) -> None:
    assert not misspelt(command.text)
    assert len(command.needs) < 60
    place = elsewhere(command)
    assert place is None or place[1] in (ROOT / place[0]).read_text(encoding="utf-8")


def options_under(command: Any) -> set[str]:
    """The options of a command and of those below it."""
    own = {name for each in command.params for name in [*each.opts, *each.secondary_opts]} | {"--help"}
    return own.union(*(options_under(each) for each in getattr(command, "commands", {}).values()))


@pytest.mark.parametrize(
    "page", [page for page in pages() if page.suffix == ".md"], ids=lambda page: page.name
)
def test_what_a_sentence_says_of_commands_is_so(page: Path) -> None:
    for said in inline(page):
        words = said.text.replace("\\|", "|").split()
        if words[0] != "svlm":
            script = next(
                (word for word in words[1:] if word.endswith((".py", ".sh")) or word == ".ci/run"), None
            )
            assert script is None or (ROOT / script).is_file(), said
            if words[1] == "-m" and words[2].startswith("svlm_cli."):
                assert importlib.util.find_spec(words[2]), said
            continue
        command = typer.main.get_command(app)
        for word in words[1:]:
            command = getattr(command, "commands", {}).get(word, command)
        options = {re.split(r"[=\[]", word)[0] for word in words if re.match(r"--?[a-z]", word)}
        assert options <= options_under(command), said


@pytest.fixture(scope="module")
def home(
    tmp_path_factory: pytest.TempPathFactory, checkpoint: Path, warm_programs: Path, make_video: Any
) -> Path:
    """What a reader of the pages has: videos, notes, a match that was fetched, models that were made."""
    home = tmp_path_factory.mktemp("home")
    for name, seconds in (("match", 62.5), ("clip", 5), ("court-1", 3), ("court-2", 3), ("final", 3)):
        make_video(home / f"{name}.mp4", seconds=seconds, fps=2 if seconds > 10 else 8, size=(64, 48))
    for folder in ("recordings", "clips"):
        (home / folder).mkdir()
        make_video(home / folder / f"{folder}-one.mp4", seconds=4)
    make_video(home / "film.mkv", seconds=4)
    (home / "film.en.srt").write_text("1\n00:00:01,000 --> 00:00:03,000\nthe red sleeve pulls first\n")
    (home / "notes.txt").write_text("Welcome back.")
    (home / "recipes").symlink_to(ROOT / "recipes")
    shutil.copytree(checkpoint, home / "checkpoint")
    shutil.copytree(ROOT / "svlm_cli/assets/arena", home / "runs/arena/stream/final")
    run(warm_programs, home, "svlm fetch arena:soccer,seed=1000001,minutes=0.5 --out matches")
    made = home / "matches/videos"
    (video,) = made.glob("*.mp4")
    shutil.copy(video, made / "arena-soccer-41-10min-24fps-504x336.mp4")
    (home / "transcripts").mkdir()
    for transcript in (home / "matches/transcripts").glob("*.json"):
        shutil.copy(transcript, home / "transcripts")
    page = (ROOT / "docs/channels.md").read_text()
    (home / "channels.yaml").write_text(
        stood_in(re.findall(r"```yaml\n(# channels.*?)```", page, re.DOTALL)[0])
    )
    figure = {"percent": 97.3, "low": None, "high": None, "num": 10}
    runs = [{"run": "ours", "protocol": "greedy", "scores": {"f1": figure}}]
    for folder in ("bench-arena", "bench-8fps", "ours-ovo", "theirs-ovo"):
        (home / folder).mkdir()
        name = "ovo" if "ovo" in folder else "arena"
        summary = {"benchmark": name, "version": "0", "columns": {"f1": "F1"}, "runs": runs}
        (home / folder / "summary.json").write_text(json.dumps(summary))
    return home


def stood_in(text: str) -> str:
    for pattern, other in STAND_INS.items():
        text = re.sub(pattern, other, text)
    return text


def run(programs: Path, folder: Path, command: str) -> None:
    environment = os.environ | {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}", "HF_HUB_OFFLINE": "1"}
    environment.pop("SVLM_MODEL", None)
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"


@pytest.mark.parametrize("block", RUN, ids=lambda block: block[0].place)
def test_what_stands_in_a_block_runs(
    block: Block, home: Path, warm_programs: Path, part_of_vocabulary: Path, tmp_path: Path
) -> None:
    if any("flite" in command.text or "--speak" in command.text for command in block):
        pytest.importorskip("shutil").which("flite") or pytest.skip("flite is not installed")
    folder = tmp_path / "home"
    shutil.copytree(home, folder, symlinks=True, copy_function=os.link)
    for command in block:
        text = stood_in(command.text)
        with socket.create_server(("127.0.0.1", 0)) as free:
            text = re.sub(r"(--serve (?:127\.0\.0\.1:)?)8000", rf"\g<1>{free.getsockname()[1]}", text)
        for begins, more in SHORTER.items():
            if re.match(rf"(?:mkdir -p air && )?{begins}", text):
                text += " " + more.format(vocabulary=shlex.quote(str(part_of_vocabulary)))
        if ENDLESS.match(text):
            svlm = f"{shlex.quote(sys.executable)} -m svlm_cli"
            text = f"timeout -k 20 -s TERM --preserve-status 8 {svlm}{text[4:]}; test $? = 143"
        run(warm_programs, folder, text)
