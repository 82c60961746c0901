from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from svlm_cli.arena.address import parse_address
from svlm_cli.arena.truth import opening_text, truth, words_of
from svlm_cli.data.chunks.chunk import Chunk, ChunkFile, ChunkRule, TimedQuestion, cut_chunks, write_layout
from svlm_cli.data.samples.chunk_dataset import VideoClips
from svlm_cli.data.words.transcript import TimedWord
from svlm_cli.errors import SourceError
from svlm_cli.model.patches import PatchSettings
from svlm_cli.model.window import WindowLimits, middle_cut

ADDRESS = parse_address("arena:soccer?seed=4&minutes=2")
RECORDS = list(truth(ADDRESS))
WORDS = [TimedWord(w.text, w.start_seconds, w.end_seconds) for record in RECORDS for w in words_of(record)]
EIGHTHS = st.integers(0, 8 * 90).map(lambda count: count / 8)  # exact, so that no tolerance is in play
TEXTS = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)
WORD_TEXTS = st.text(st.characters(exclude_categories=("Cs", "Z", "C")), min_size=1, max_size=8)


def chunks(**options) -> list[Chunk]:
    return list(cut_chunks("a.mp4", WORDS, 120.0, ChunkRule(**options), opening_text(ADDRESS)))


def test_chunks_overlap_and_say_what_is_true() -> None:
    cut = chunks()
    assert [chunk.start_seconds for chunk in cut] == list(range(0, 97, 12))
    for chunk in cut:
        true = [record.line for record in RECORDS[chunk.start_seconds : chunk.end_seconds]]
        assert chunk.lines == true


def test_previous_text_is_all_that_was_said_before() -> None:
    chunk = chunks()[2]
    said = [record.line for record in RECORDS[:24] if record.line]
    assert chunk.previous_text == " ".join([opening_text(ADDRESS), *said])


@settings(max_examples=150, deadline=None)
@given(
    ends=st.lists(EIGHTHS, max_size=60).map(sorted),
    duration=st.floats(0, 95),
    window=st.integers(1, 30),
    stride=st.integers(1, 30),
    sink=st.integers(0, 9),
    tail=st.integers(0, 9),
    title=st.sampled_from(["", "Lions against Sharks"]),
)
def test_chunks_are_those_of_the_paper(ends, duration, window, stride, sink, tail, title) -> None:
    """Every second of the video is tried, every word looked at anew."""
    stride = min(stride, window)
    words = [TimedWord(f"w{k}", max(0.0, end - 0.25), end) for k, end in enumerate(ends)]
    rule = ChunkRule(window, window - stride, sink, tail)
    cut = list(cut_chunks("a.mp4", words, duration, rule, title))
    starts = [start for start in range(100) if start % stride == 0 and start + window <= duration]
    assert [(chunk.start_seconds, chunk.end_seconds) for chunk in cut] == [(s, s + window) for s in starts]
    for chunk, start in zip(cut, starts, strict=True):
        assert [w.text for w in chunk.words] == [
            w.text for w in words if start < w.end_seconds <= start + window
        ]
        for second, line in enumerate(chunk.lines, start):
            assert line.split() == [w.text for w in words if second < w.end_seconds <= second + 1]
        before = [word.text for word in words if word.end_seconds <= start]
        middle = range(sink, len(before) - tail)
        told = [text for place, text in enumerate(before) if place not in middle]
        assert chunk.previous_text.split() == [*title.split(), *told]


@pytest.mark.parametrize(("end", "second"), [(0.5, 0), (1.0, 0), (1.001, 1), (24.0, 23)])
def test_a_word_belongs_to_the_second_it_ends_in(end: float, second: int) -> None:
    assert TimedWord("goal", 0.0, end).second == second


@pytest.mark.parametrize(("end", "second"), [(0.5, 0), (1.0, 0), (1.0000001, 0), (1.1, 1), (24.0, 23)])
def test_a_question_belongs_to_the_second_it_ends_in(end: float, second: int) -> None:
    """The model must not answer before it has been asked."""
    assert TimedQuestion(max(0.0, end - 3), end, "who scores", "the lions").second == second


@settings(max_examples=60, deadline=None)
@given(
    num_words=st.integers(0, 60), sink=st.integers(0, 12), tail=st.integers(0, 12), opening=st.integers(0, 3)
)
def test_the_stored_text_is_cut_like_all_of_it(num_words: int, sink: int, tail: int, opening: int) -> None:
    """First S and last T tokens of what is stored are those of everything said; a word is 1 or 2 tokens."""
    words = [TimedWord(f"w{k}" if k % 3 else f"x{k}-y", k / 3, (k + 0.9) / 3) for k in range(num_words)]
    said = " ".join(f"title{k}" for k in range(opening))
    rule = ChunkRule(window=4, overlap=2, sink=sink, text_window=tail)
    for chunk in cut_chunks("a.mp4", words, 24.0, rule, said):
        whole = " ".join([*said.split(), *(word.text for word in words if word.second < chunk.start_seconds)])
        assert kept(chunk.previous_text, sink, tail) == kept(whole, sink, tail)


def kept(text: str, sink: int, tail: int) -> list[str]:
    tokens = text.replace("-", " -").split()
    ranges = middle_cut(len(tokens), WindowLimits(sink, tail, 1, 1))
    return [token for each in ranges for token in tokens[each.start : each.end]]


def test_an_overlap_as_long_as_the_window_is_refused() -> None:
    with pytest.raises(ValueError, match="overlap"):
        chunks(window=24, overlap=24)


@st.composite
def any_chunk(draw) -> Chunk:
    start, length = draw(st.integers(0, 10_000)), draw(st.integers(1, 64))
    ends = sorted(draw(st.lists(st.floats(start + 0.01, start + length), max_size=12)))
    asked = draw(st.lists(st.floats(start + 0.01, start + length), max_size=3))
    return Chunk(
        video=draw(st.sampled_from(["videos/a.mp4", "../b c/ü.mp4", "/srv/v.mkv"])),
        start_seconds=start,
        end_seconds=start + length,
        previous_text=draw(TEXTS),
        words=tuple(TimedWord(draw(WORD_TEXTS), end - draw(st.floats(0, 3)), end) for end in ends),
        query=draw(TEXTS),
        questions=tuple(TimedQuestion(at - 1, at, draw(TEXTS), draw(TEXTS)) for at in asked),
    )


@settings(max_examples=60, deadline=None)
@given(st.lists(any_chunk(), max_size=6))
def test_the_layout_reads_back(written: list[Chunk]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        assert write_layout(folder, "train_s12w24", written) == len(written)
        stored = ChunkFile(folder, "train_s12w24")
        assert list(stored) == written
        content = (folder / "train_s12w24_with_seeks.jsonl").read_bytes()
        offsets = json.loads((folder / "train_s12w24_seeks.jsonl").read_text())
        lines = [line + b"\n" for line in content.split(b"\n")[:-1]]
        assert offsets == [sum(map(len, lines[:k])) for k in range(len(lines))]
        with (folder / "train_s12w24_with_seeks.jsonl").open("rb") as file:
            for offset, chunk in zip(offsets, written, strict=True):
                file.seek(offset)
                (said,) = json.loads(file.readline())[1]["content"]
                assert len(said.get("qa_stream", "")) == len(chunk.questions)


def published(**changes: Any) -> list[dict[str, Any]]:
    """A sample as Inf-Stream-Train has them; changes by field."""
    video = {"type": "video", "video": "nba/a.mp4", "video_start": 12, "video_end": 36}
    text = {"type": "text", "text": "What is going on?", "previous": "Lions against Sharks"}
    said = {"type": "text_stream", "text_stream": [[11.6, 12.2, " They"], [12.2, 12.5, "attack."]]}
    for field, value in changes.items():
        (part,) = (
            part for part in (video, text, said) if field in part or (part, field) == (said, "qa_stream")
        )
        part[field] = value
    return [{"role": "user", "content": [video, text]}, {"role": "assistant", "content": [said]}]


def read(tmp_path: Path, sample: Any) -> Chunk:
    (tmp_path / "train_with_seeks.jsonl").write_text(json.dumps(sample) + "\n")
    (tmp_path / "train_seeks.jsonl").write_text("[0]")
    return ChunkFile(tmp_path, "train")[0]


PLAIN = Chunk(
    "nba/a.mp4",
    12,
    36,
    "Lions against Sharks",
    (TimedWord("They", 11.6, 12.2), TimedWord("attack.", 12.2, 12.5)),
    "What is going on?",
)


def test_a_published_sample(tmp_path: Path) -> None:
    assert read(tmp_path, published()) == PLAIN


def test_times_need_not_be_whole(tmp_path: Path) -> None:
    assert read(tmp_path, published(video_start=12.0, video_end=35.9999999)) == PLAIN
    chunk = read(tmp_path, published(video_start=12.4, video_end=36.4))
    assert (chunk.start_seconds, chunk.end_seconds) == (12, 36)


@given(
    ends=st.lists(st.integers(1, 40_000), min_size=1, max_size=40, unique=True),
    start=st.integers(0, 50),
)
def test_a_sample_that_ends_with_its_last_word_keeps_it(ends: list[int], start: int) -> None:
    """LiveCC's samples do, thousandths into a second; what is said is what the seconds of the chunk say."""
    words = [[start + end / 1000 - 0.001, start + end / 1000, f"w{end}"] for end in sorted(ends)]
    last = words[-1][1]
    sample = published(video_start=start, video_end=last, text_stream=words)
    with tempfile.TemporaryDirectory() as folder:
        chunk = read(Path(folder), sample)
    assert chunk.end_seconds == start + -(-max(ends) // 1000)
    assert " ".join(chunk.lines).split() == [word for _, _, word in words]
    shorter = chunk.without_last()
    assert (shorter is not None) == (1 <= max(ends) % 1000 <= 50 and max(ends) > 1000)
    if shorter is not None:
        kept = [end for end in sorted(ends) if end <= max(ends) // 1000 * 1000]
        assert shorter.lines == chunk.lines[:-1]
        assert [word.text for word in shorter.words] == [f"w{end}" for end in kept]


def test_a_broken_second_in_which_nothing_is_said_is_none(tmp_path: Path) -> None:
    silent = published(video_end=36.7, text_stream=[[20.0, 20.5, "goal"]])
    assert read(tmp_path, silent).end_seconds == 36
    asked = silent[1]["content"][0] | {"qa_stream": [[35.0, 36.6, "who", "me"]]}
    assert read(tmp_path, [silent[0], {"role": "assistant", "content": [asked]}]).end_seconds == 37


def test_the_last_second_of_a_video_that_ends_inside_it_has_its_frames(
    make_video: Callable[..., Path], tmp_path: Path
) -> None:
    video = make_video(tmp_path / "v.mp4", seconds=3.5)
    assert len(VideoClips(video, 2.0, PatchSettings()).cut(1, 4)) == 3


def test_parts_come_in_any_order_and_may_be_several(tmp_path: Path) -> None:
    sample = published()
    sample[0]["content"].reverse()
    (said,) = sample[1]["content"]
    sample[1]["content"] = [{"type": "text_stream", "text_stream": [word]} for word in said["text_stream"]]
    assert read(tmp_path, [{"role": "system", "content": "be brief"}, *sample]) == PLAIN


@pytest.mark.parametrize("previous", ["missing", None, ""])
def test_previous_text_may_be_missing(tmp_path: Path, previous: str | None) -> None:
    sample = published(previous=previous)
    if previous == "missing":
        del sample[0]["content"][1]["previous"]
    assert read(tmp_path, sample) == replace(PLAIN, previous_text="")


def test_words_that_end_elsewhere_and_empty_ones_stay_out(tmp_path: Path) -> None:
    said = [
        [10, 12, "before"],
        [11.6, 12.2, "They"],
        [12.2, 12.5, "attack."],
        [13, 14, " "],
        [35, 36.1, "late"],
    ]
    assert read(tmp_path, published(text_stream=said)) == PLAIN


def test_questions_are_read_where_they_end(tmp_path: Path) -> None:
    asked = [
        [11, 12, "early", "a"],
        [11.9, 13, "who", "Lions"],
        [35.5, 36, "score?", "2"],
        [35.5, 36.5, "late", "b"],
    ]
    chunk = read(tmp_path, published(qa_stream=asked))
    assert chunk.questions == (
        TimedQuestion(11.9, 13, "who", "Lions"),
        TimedQuestion(35.5, 36, "score?", "2"),
    )
    assert read(tmp_path, published(qa_stream=None)) == PLAIN


@pytest.mark.parametrize("path", ["/data/nba/a.mp4", "../videos/a.mp4"])
def test_a_path_stays_as_it_is(tmp_path: Path, path: str) -> None:
    assert read(tmp_path, published(video=path)).video == path


WRONG: list[tuple[Any, str]] = [
    (published(video=7), "video is no text: 7"),
    (published(text=None), "text is no text: None"),
    (published(previous=["a"]), "previous is no text"),
    (published(video_start=None), "video_start is no time in seconds: None"),
    (published(video_end=True), "video_end is no time in seconds: True"),
    (published(video_end=float("nan")), "video_end is no time in seconds: None"),
    (published(video_end=10**400), "video_end is no time in seconds: None"),
    (published(video_start=40), "video_start and video_end, 40 and 36"),
    (published(video_start=-3), "video_start and video_end, -3 and 36"),
    (published(text_stream=[[1, 2, "a"], [2, "b"]]), r"text_stream\[1\]"),
    (published(text_stream=[[1, "2", "a"]]), r"text_stream\[0\] is no time in seconds: '2'"),
    (published(text_stream={"a": 1}), "text_stream is no list"),
    (published(qa_stream=[[12, 13, "who"]]), r"qa_stream\[0\]"),
    ([published()[0]], "no message has the role assistant"),
    ([published()[1]], "no message has the role user"),
    ([*published()[:1], {"role": "assistant", "content": "They attack."}], "content of role assistant"),
    (
        [*published()[:1], {"role": "assistant", "content": [{"type": "text", "text": "x"}]}],
        "no content is of type text_stream",
    ),
    (
        [{"role": "user", "content": [{"type": "text", "text": "x"}]}, published()[1]],
        "no content is of type video",
    ),
    ({"video": "a.mp4"}, "no message has the role user"),
    (None, "no message has the role user"),
]


@pytest.mark.parametrize(("sample", "told"), WRONG)
def test_what_is_no_sample_is_named(tmp_path: Path, sample: Any, told: str) -> None:
    with pytest.raises(SourceError, match=f"train_with_seeks.jsonl, sample 0: {told}"):
        read(tmp_path, sample)


@pytest.mark.parametrize("line", ["{", "[[[", "\udcff", ""])
def test_a_line_that_is_no_json_is_named(tmp_path: Path, line: str) -> None:
    (tmp_path / "x_with_seeks.jsonl").write_bytes(line.encode(errors="surrogateescape") + b"\n")
    (tmp_path / "x_seeks.jsonl").write_text("[0]")
    with pytest.raises(SourceError, match=r"sample 0: it is not (JSON|UTF-8)"):
        ChunkFile(tmp_path, "x")[0]
