"""A small run of each command that works on a folder, and how two ends of it are compared."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from svlm_cli.cli import run as svlm
from svlm_cli.data.chunks.chunk import ChunkFile
from svlm_cli.data.words.transcript import TimedWord, Transcript, write_transcript
from tests.bench import made_data
from tests.data.fake_llm import Llm, serve_llm
from tests.data.loopback import Site, serve
from tests.trust.disk import Tree
from tests.trust.forked import PRELOADED
from tests.trust.recording import tree_of

# What the commands here need beside a stream: one process imports it for all that are forked.
PRELOADED.extend(
    [
        "matplotlib.backends.backend_agg",
        "openai",
        "py3langid",
        "svlm_cli.bench.commentary.infstreams",
        "svlm_cli.bench.common.plots",
        "svlm_cli.data.words.align",
        "svlm_cli.data.chunks.chunking",
        "svlm_cli.data.fetch.folder",
        "yt_dlp.extractor",
    ]
)
MakeVideo = Callable[..., Path]
NEW_MODEL = {"hidden": 32, "layers": 2, "heads": 2, "key_value_heads": 1, "mlp": 48} | {
    "vision_hidden": 24,
    "vision_layers": 1,
    "vision_mlp": 32,
}
WORDS = ("the", "keeper", "kicks", "it", "long", "and", "they", "win", "it", "back", "near", "the", "line")


@dataclass(frozen=True, slots=True)
class Run:
    """A command that makes a folder.

    Args:
        folder: that it makes.
        commands: of svlm, one after another.
        result: what must be equal at the end, however often it was cut short.
        resume: the commands that go on from what is there, where they are others.
        check: raises where a state is wrong before anything goes on from it.
    """

    folder: Path
    commands: Sequence[Sequence[str]]
    result: Callable[[Tree], Any]
    resume: Callable[[Path], Sequence[Sequence[str]]] | None = None
    check: Callable[[Path], None] = lambda _folder: None

    def again(self) -> Sequence[Sequence[str]]:
        """What a user types after a cut."""
        return self.commands if self.resume is None else self.resume(self.folder)


def words(seed: int, seconds: int) -> list[TimedWord]:
    """What is said in a video, three words a second."""
    dice = random.Random(seed)
    return [TimedWord(dice.choice(WORDS), k / 3, (k + 1) / 3 - 0.01) for k in range(3 * seconds)]


@contextmanager
def loopback_runs(base: Path, make_video: MakeVideo) -> Iterator[dict[str, Run]]:
    """Of the commands that need no model, while the servers run that some of them ask."""
    film = make_video(base / "film.mp4", seconds=2.0).read_bytes()
    with serve(Site(files={"/film.mp4": film})) as site, serve_llm(Llm(respond=_answer)) as llm:
        yield {
            "fetch": fetch_run(base, make_video, site.url("/film.mp4")),
            "align": align_run(base, make_video, llm.address),
            "chunk": chunk_run(base),
            "bench": bench_run(base, make_video, llm.address),
        }


def _answer(body: dict[str, Any]) -> tuple[int, str]:
    """Of a language model: keep every sentence, judge all for A."""
    _, *more = body["messages"]
    if not more:
        return 200, "A"
    said = json.loads(more[0]["content"])
    if "sentences" not in said:
        return 200, '{"live_percent": 90}'
    kept = [{"id": each["id"], "action": "keep", "text": each["text"]} for each in said["sentences"]]
    return 200, json.dumps(kept)


def fetch_run(base: Path, make_video: MakeVideo, address: str) -> Run:
    """Two files, a match, and a video from an address."""
    files = [str(make_video(base / f"{name}.mp4", seconds=1.0)) for name in ("one", "two")]
    folder = base / "fetched"
    match = "arena:soccer,seed=1000003,minutes=0.05,size=168x112"
    return Run(folder, [["fetch", *files, match, address, "--out", str(folder), "--quiet"]], fetched)


def fetched(tree: Tree) -> Any:
    lines = [json.loads(line) for line in (tree["videos.jsonl"] or b"").splitlines()]
    assert len({line["id"] for line in lines}) == len(lines)
    for line in lines:
        assert hashlib.sha256(tree[line["path"]] or b"").hexdigest() == line["sha256"]
    # Encoders with threads do not give the same bytes each time: of a match's video all else is compared.
    copies = {name: content for name, content in _files(tree, "videos/").items() if "arena" not in name}
    for line in lines:
        line["fetched_at"] = line["sha256"] = ""
    told = {line["id"]: line for line in lines}
    return told, copies, _files(tree, "videos/arena").keys(), _files(tree, "transcripts/")


def align_run(base: Path, make_video: MakeVideo, llm: str) -> Run:
    """Transcripts made elsewhere, cleaned by a language model."""
    folder, source = base / "aligned", base / "said"
    source.mkdir()
    names = [f"game{number}" for number in range(3)]
    for number, name in enumerate(names):
        make_video(base / f"{name}.mp4", seconds=1.0 + number / 4)
        cues = [f"00:0{k}.000 --> 00:0{k + 1}.000\n{' '.join(WORDS[k:][: 4 + number])}\n" for k in range(6)]
        (source / f"{name}.vtt").write_text("WEBVTT\n\n" + "\n".join(cues))
    assert (
        svlm(["fetch", *(str(base / f"{name}.mp4") for name in names), "--out", str(folder), "--quiet"]) == 0
    )
    command = ["align", str(folder), "--transcript-from", str(source), "--clean", "llm", "--quiet"]
    return Run(folder, [[*command, "--llm-base-url", llm, "--llm-model", "m"]], aligned)


def aligned(tree: Tree) -> Any:
    report = json.loads(tree["align.json"] or b"")
    kept = {name: report[name] for name in ("hours", "num_words", "dropped_words", "sentences")}
    return kept, _files(tree, "transcripts/"), _files(tree, "videos")


def chunk_run(base: Path) -> Run:
    """A data set in place of another, whose held-out videos are others."""
    source, folder = base / "transcripts", base / "set"
    for number in range(10):
        said = Transcript(tuple(words(number, 50)))
        write_transcript(source / f"v{number}.json", said)
    command = ["chunk", str(source), "--no-video-check", "--split", "0.3", "--out", str(folder), "--quiet"]
    assert svlm([*command, "--seed", "1"]) == 0
    return Run(folder, [[*command, "--seed", "2"]], _whole_set, check=splits_are_apart)


def _whole_set(tree: Tree) -> Any:
    return _files(tree, "")


def splits_are_apart(folder: Path) -> None:
    """What a data set holds at any moment may be trained on; a report is of what lies beside it."""
    seen: list[set[str]] = []
    for name in ("train_s12w24", "valid_s12w24"):
        is_there = (folder / f"{name}_with_seeks.jsonl").exists()
        seen.append({chunk.video for chunk in ChunkFile(folder, name)} if is_there else set())
    assert not seen[0] & seen[1]
    assert seen[0]
    if (folder / "report.json").exists():
        assert len(seen[0] | seen[1]) == 10


def bench_run(base: Path, make_video: MakeVideo, llm: str) -> Run:
    """Commentary from an address, and a judge's votes on it."""
    folder = base / "bench"
    metadata, clips = made_data.metadata(base)
    theirs = made_data.predictions(base / "theirs.jsonl", "theirs")
    made_data.videos(base, make_video)
    known = ["--clips", str(clips), "--base-url", llm, "--quiet"]
    ours = folder / "ours"
    generate = ["bench", "commentary", "generate", str(metadata), "--videos", str(base / "videos"), *known]
    generate += ["--api", "m", "--name", "ours", "--out", str(ours)]
    score = ["bench", "commentary", "score", str(ours), str(theirs), "--metadata", str(metadata), *known]
    score += ["--judge", "m", "--out", str(folder / "score")]
    return Run(folder, [generate, score], _files_but_plots)


def _files_but_plots(tree: Tree) -> Any:
    return {name: content for name, content in _files(tree, "").items() if not name.endswith(".png")}


def stream_run(base: Path) -> Run:
    """A stream of the bundled model with three outputs and a state."""
    folder = base / "stream"
    state = folder / "stream.svlm"
    outs = [option for name in ("w.vtt", "w.srt", "w.jsonl") for option in ("--out", str(folder / name))]
    command = ["stream", "arena:soccer,seed=5,minutes=0.1,size=168x112", *outs, "--quiet"]
    command += ["--sink", "8", "--text-window", "16", "--vision-window", "4", "--rounds", "3", "--greedy"]
    command += ["--save-state", str(state), "--save-every", "0.05", "--threads", "1"]

    def resume(_folder: Path) -> list[list[str]]:
        return [[*command, "--resume", str(state)] if state.exists() else command]

    return Run(folder, [command], streamed, resume)


def streamed(tree: Tree) -> Any:
    lines = (tree["w.jsonl"] or b"").splitlines()
    steps = [json.loads(line) for line in lines if b'"step"' in line]  # the last line, "end", may be torn
    said = [(step["start_seconds"], step["text"]) for step in steps]
    return tree["w.vtt"], tree["w.srt"], said


def train_run(base: Path) -> Run:
    """Four steps of a new model, with two checkpoints; the windows that are drawn for it lie elsewhere."""
    recipe, folder = base / "recipe.yaml", base / "runs" / "cut"
    stage = {"name": "s", "steps": 4, "save_steps": 2, "micro_batch": 1, "mix": {"told": 1}}
    data = {"num_windows": 2, "num_plays": 2}
    content = {"model": NEW_MODEL, "data": data, "stages": [stage], "bfloat16": False, "log_steps": 1}
    recipe.write_text(json.dumps(content | {"workers": 0, "report_to": []}))
    command = ["train", str(recipe), "--quiet", "--out"]
    return Run(folder, [[*command, str(folder)]], trained)


def trained(tree: Tree) -> Any:
    states = [name for name in tree if name.endswith("checkpoint-4/trainer_state.json")]
    history = json.loads(tree[states[0]] or b"")["log_history"]
    return tree["s/final/model.safetensors"], [entry.get("loss") for entry in history]


def _files(tree: Mapping[str, bytes | None], above: str) -> Tree:
    """All files below a folder but locks and what a run keeps for itself."""
    return {
        name: content
        for name, content in tree.items()
        if name.startswith(above)
        and content is not None
        and not any(part.startswith(".") for part in Path(name).parts)
    }


def result_of(run: Run) -> Any:
    """What lies in its folder now."""
    return run.result(tree_of(run.folder))
