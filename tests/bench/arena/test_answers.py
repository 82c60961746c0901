"""Questions of a match: asked in their seconds, judged by what is kept, counted by what was asked."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from svlm_cli.arena.address import parse_address
from svlm_cli.arena.asking.wording import NOT_KNOWN, Ask
from svlm_cli.arena.truth import truth
from svlm_cli.bench.arena.answers import (
    PRECISION,
    RECALL,
    YES_NO,
    AnswerOutcome,
    Where,
    answer_tally,
    cell_name,
    questions_of,
    says,
    told_name,
)
from svlm_cli.bench.arena.match import MatchJob, MatchResult, play
from svlm_cli.bench.arena.results import ResultsFile
from svlm_cli.bench.arena.runs import ArenaRun
from svlm_cli.bench.common.intervals import Ratio
from svlm_cli.cli import run
from svlm_cli.model.family.markup import find_markup
from svlm_cli.settings import Sampling, StreamSettings
from svlm_cli.stream.controls import Controls
from svlm_cli.train.arena.vocabulary import word_tokenizer
from svlm_cli.train.learner import new_tokenizer
from svlm_cli.types import AnswerEvent, EndEvent, StepEvent, StreamEvent
from tests.bench import fake_bench

TOKENIZER = new_tokenizer()
NUM_SECONDS = 1500
SETTINGS = StreamSettings(sampling=Sampling(greedy=True), text_window=64, sink=32)


def listened(answers: dict[str, str]):
    """A narrator who says every line, and to a question what ``answers`` has for it, else nothing."""

    def stream_video(
        _model: object, source, _settings: StreamSettings, controls: Controls
    ) -> Iterator[StreamEvent]:
        for record in truth(parse_address(source.name)):
            if question := controls.questions.take(record.second + 1):
                reply = answers.get(f"{record.second} {question}", answers.get("", ""))
                yield AnswerEvent(record.second, record.second, record.second + 1.0, question, reply, 1)
            yield StepEvent(record.second, record.second, record.second + 1.0, record.line, 2, 1, 1, 1)
        yield EndEvent(record.second + 1, record.second + 1.0, 0.5, 120.0, 0.01, 0.02, 0.03, 1, 0)

    return stream_video


def knowing(seed: int, num_seconds: int = NUM_SECONDS) -> dict[str, str]:
    return {f"{each.second} {each.asked.text}": each.asked.answer for each in questions_of(seed, num_seconds)}


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> fake_bench.FakeModel:
    found = fake_bench.FakeModel("narrator", tokenizer=TOKENIZER, markup=find_markup(TOKENIZER))
    monkeypatch.setattr("svlm_cli.model.load.load_model", lambda *_, **__: found)
    return found


def played(
    model: object, monkeypatch: pytest.MonkeyPatch, seed: int, answers: dict[str, str], **change: object
) -> MatchResult:
    monkeypatch.setattr("svlm_cli.stream.loop.stream_video", listened(answers))
    arena_run = ArenaRun("asked", replace(SETTINGS, **change), is_asked=True)
    *_, result = play(model, MatchJob(arena_run, seed, NUM_SECONDS, "key"))
    return result


def test_who_knows_all_is_right_where_it_can_be_known(model: object, monkeypatch: pytest.MonkeyPatch) -> None:
    seed = random.Random(3).randrange(5000)
    result = played(model, monkeypatch, seed, knowing(seed))
    seconds = [each.second for each in questions_of(seed, NUM_SECONDS)]
    assert [each.second for each in result.answers] == seconds
    assert len(result.answers) > 25
    for each in result.answers:
        assert each.right in (each.truth, NOT_KNOWN)
        assert (each.right == NOT_KNOWN) == (each.where in (Where.ECHO, Where.GONE))
        assert each.is_right == (each.right == each.truth)
    tally = answer_tally(result.answers)
    assert all(tally[kind.value].part == tally[kind.value].whole for kind in Ask)
    assert tally[RECALL].part == 0 < tally[RECALL].whole
    assert tally[PRECISION].whole == 0
    everything = played(model, monkeypatch, seed, knowing(seed), sink=10**6)
    assert {each.right == each.truth for each in everything.answers} == {True}


def test_who_never_knows_and_who_is_silent(model: object, monkeypatch: pytest.MonkeyPatch) -> None:
    seed = random.Random(4).randrange(5000)
    never = answer_tally(played(model, monkeypatch, seed, {"": NOT_KNOWN}).answers)
    unknown = never[RECALL]
    assert unknown == Ratio(unknown.whole, unknown.whole)
    assert never[PRECISION] == Ratio(unknown.whole, sum(never[where.value].whole for where in Where))
    assert never[YES_NO].part == 0
    silent = answer_tally(played(model, monkeypatch, seed, {}).answers)
    assert sum(ratio.part for ratio in silent.values()) == 0
    assert {name: silent[name].whole for name in silent if name != PRECISION} == {
        name: never[name].whole for name in never if name != PRECISION
    }


def test_counts_are_those_of_outcomes_by_hand() -> None:
    dice = random.Random(8)
    outcomes = []
    for second in range(400):
        name = dice.choice([*(kind.value for kind in Ask), YES_NO])
        where = dice.choice([*Where])
        right = NOT_KNOWN if where in (Where.ECHO, Where.GONE) else "red Lions"
        reply = dice.choice(["red Lions", "Lions", "lions!", "red", "blue Lions", NOT_KNOWN, ""])
        outcomes.append(AnswerOutcome(second, name, "?", "red Lions", right, where, reply))
    seconds = range(100, 300)
    inside = [each for each in outcomes if each.second in seconds]
    tally = answer_tally(outcomes, seconds)
    true = ("red Lions", "Lions", "lions!")

    def share(found: list[AnswerOutcome], replies: tuple[str, ...]) -> Ratio:
        return Ratio(sum(each.reply in replies for each in found), len(found))

    for kind in Ask:
        known = [each for each in inside if each.name == kind and each.right != NOT_KNOWN]
        assert tally[kind.value] == share(known, true)
        gone = [each for each in inside if each.name == kind and each.where is Where.GONE]
        assert tally[cell_name(kind.value, Where.GONE)] == share(gone, (NOT_KNOWN,))
    lost = [each for each in inside if each.where is Where.ECHO and each.name != YES_NO]
    assert tally[told_name(Where.ECHO)] == share(lost, true)
    said = [each for each in inside if each.reply == NOT_KNOWN]
    assert tally[PRECISION] == Ratio(sum(each.right == NOT_KNOWN for each in said), len(said))


@pytest.mark.parametrize(
    ("reply", "answer", "is_it"),
    [
        ("Two, one.", "two one", True),
        ("two one two", "two one", False),
        ("Lions", "red Lions", True),
        ("red", "red Lions", False),
        ("known", "not known", False),
        ("", "nobody", False),
    ],
)
def test_what_counts_as_said(reply: str, answer: str, is_it: bool) -> None:
    assert says(reply, answer) is is_it


def test_answers_are_stored_whole_or_the_line_is_none(
    model: object, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from svlm_cli.bench.arena.score import METRICS
    from svlm_cli.bench.common.model import ModelFacts

    result = played(model, monkeypatch, 5, knowing(5))
    with ResultsFile(tmp_path) as results:
        results.add_match(result, ModelFacts("m", "f", "cpu", "float32"), dict.fromkeys(METRICS, Ratio()))
        assert results.find(result.job) == result
    path = tmp_path / "results.jsonl"
    line = json.loads(path.read_text())
    for number, (field, value) in enumerate(
        [("where", "there"), ("reply", 3), ("second", "1"), ("truth", None)]
    ):
        answers = [dict(each) for each in line["answers"]]
        answers[number][field] = value
        path.write_text(json.dumps({**line, "answers": answers}) + "\n")
        with ResultsFile(tmp_path) as results:
            assert len(results.problems) == 1


def test_the_command_tells_answers_and_what_questions_cost(
    model: object, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    answers = knowing(0, 600) | knowing(1, 600)
    monkeypatch.setattr("svlm_cli.stream.loop.stream_video", listened(answers))
    arguments = ["bench", "arena", "--matches", "2", "--minutes", "10", "--out", str(tmp_path)]
    assert run([*arguments, "--quiet"]) == 0
    capsys.readouterr()
    assert run([*arguments, "--ask", "--json"]) == 0
    out, err = capsys.readouterr()
    assert "4 matches, 2 already there" in err
    assert "answers right" in err
    (row,) = json.loads(out)["runs"]
    assert set(row["asked"]) == {
        *("answers", "score", "leader", "goals", "ball", "event", "third", "scorer", "free_kick", "card"),
        *("referee", "side", "past_score", "past_foul", "yes_no"),
        *("not_known_precision", "not_known_recall"),
    }
    assert {each["percent"] for each in row["asked"].values() if each["num"]} == {100.0}
    assert row["commentary_asked_change"]["event_f1"]["percent"] == 0
    assert len(row["asked_by_quarter"]) == 4
    assert set(row["asked_by_place"]) == {where.value for where in Where}
    assert "asked" not in {name for line in _lines(tmp_path)[:2] for name in line["settings"]}
    for name in ("answers.png", "answers_by_place.png"):
        with Image.open(tmp_path / name) as picture:
            assert min(picture.size) > 150
    report = (tmp_path / "report.md").read_text()
    assert "## Questions" in report
    assert "in the text window" in report


def test_a_model_that_does_not_know_the_words_of_questions_is_told_of(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    small = word_tokenizer(["score", "goal", "this", "match", "on"], ["Commentate"])
    found = fake_bench.FakeModel("narrator", tokenizer=small, markup=find_markup(small))
    monkeypatch.setattr("svlm_cli.model.load.load_model", lambda *_, **__: found)
    monkeypatch.setattr("svlm_cli.stream.loop.stream_video", listened({}))
    arguments = ["bench", "arena", "--matches", "1", "--minutes", "0.5", "--out", str(tmp_path)]
    assert run(arguments) == 0
    assert "vocabulary lacks" not in capsys.readouterr().err
    assert run([*arguments, "--ask"]) == 0
    told = capsys.readouterr().err
    assert "vocabulary lacks" in told
    assert "whose" in told
    assert "score" not in told.split("lacks: ")[1].split(";")[0].split(", ")


def _lines(folder: Path) -> list[dict[str, dict[str, object]]]:
    return [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]
