"""The judge at a loopback server: orders, bias, failures, kills, keys."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from svlm_cli.cli import run
from tests.bench import made_data
from tests.commands.running import environment
from tests.data.fake_llm import Llm, serve_llm

KEY = "sk-secret-0123456789"
Respond = Callable[[dict[str, Any]], tuple[int, str]]


def text_of(body: dict[str, Any]) -> str:
    (message,) = body["messages"]
    return message["content"]


def first_is_ours(body: dict[str, Any]) -> bool:
    text = text_of(body)
    return text.index("ours ") < text.index("theirs ")


def always_a(_: dict[str, Any]) -> tuple[int, str]:
    return 200, "A"


def likes_ours(body: dict[str, Any]) -> tuple[int, str]:
    return 200, "A" if first_is_ours(body) else "B"


def arguments(data: list[str], llm: Llm, out: Path, *more: str) -> list[str]:
    asked = ["bench", "commentary", "score", *data, "--base-url", llm.address, "--judge", "fake", *more]
    return [*asked, "--out", str(out)]


def votes(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "votes.jsonl").read_text().splitlines()]


def row(out: Path) -> dict[str, Any]:
    (found,) = json.loads((out / "summary.json").read_text())["runs"]
    return found


@pytest.mark.parametrize(
    ("respond", "rate", "first"),
    [
        (always_a, 50.0, "100.0 %"),
        (likes_ours, 100.0, "50.0 %"),
        (lambda body: (200, "**B**" if first_is_ours(body) else "Answer: A"), 0.0, "50.0 %"),
    ],
)
def test_both_orders_make_place_worth_nothing(
    data, tmp_path, respond: Respond, rate: float, first: str
) -> None:
    out = tmp_path / "out"
    with serve_llm(Llm(respond=respond)) as llm:
        assert run(arguments(data, llm, out)) == 0
        assert len(llm.asked) == 6
        orders = [first_is_ours(body) for body in llm.asked]
        assert orders.count(True) == 3
        assert run(arguments(data, llm, out)) == 0
        assert len(llm.asked) == 6, "a stored vote is asked for again"
    found = row(out)
    scores = found["scores"]
    assert scores["win_rate"]["percent"] == rate
    assert scores["win_rate"]["num"] == 6
    assert scores["win_rate_sport_soccer"]["num"] == 4
    assert scores["win_rate_sport_basketball"]["num"] == 2
    assert {name: scores[name]["num"] for name in scores if "fifth" in name} == {
        "win_rate_fifth_2": 2,
        "win_rate_fifth_3": 2,
        "win_rate_fifth_4": 2,
    }
    assert found["votes for the first place"] == first
    assert found["protocol"]
    assert "fake, both orders, no ties, own wording" in found["judge"]
    assert (found["prompt_tokens"], found["completion_tokens"]) == (60, 30)
    assert {name for name in ("report.md", "scores.png") if (out / name).exists()} == {
        "report.md",
        "scores.png",
    }
    assert [(vote["id"], vote["order"]) for vote in votes(out)] == [
        (f"{name}", order)
        for name in ("cup_final.mp4 2-6", "cup_final.mp4 6-10", "nba_night.mp4 2-6")
        for order in ("ab", "ba")
    ]


def test_the_judge_sees_reference_and_window(data, tmp_path) -> None:
    with serve_llm(Llm(respond=always_a)) as llm:
        run(arguments(data, llm, tmp_path / "out", "--workers", "1"))
        first = text_of(llm.asked[0])
    assert "second 2 he shoots second 3 he shoots second 4 he shoots second 5 he shoots\n" in first
    assert "Candidate A:\nours 2 ours 3 ours 4 ours 5\n" in first
    assert "Candidate B:\ntheirs 2 theirs 3 theirs 4 theirs 5\n" in first
    assert "Cup final" in first


def test_rate_limits_and_server_errors_are_tried_again(data, tmp_path) -> None:
    with serve_llm(Llm(respond=likes_ours, failures=[429, 503, 500])) as llm:
        assert run(arguments(data, llm, tmp_path / "out")) == 0
    assert row(tmp_path / "out")["scores"]["win_rate"]["percent"] == 100.0


def test_empty_malformed_and_undecided_replies(data, tmp_path, capsys) -> None:
    """Asked three times at most; what stays unreadable is named, left out, and asked again next time."""
    out, num_asked = tmp_path / "out", 0

    def respond(body: dict[str, Any]) -> tuple[int, str]:
        nonlocal num_asked
        num_asked += 1
        if "nba" in text_of(body).lower():
            return 200, "I cannot decide between A and B."
        return likes_ours(body) if num_asked % 2 else (200, "")

    with serve_llm(Llm(respond=respond)) as llm:
        assert run(arguments(data, llm, out, "--workers", "1")) == 0
    told = capsys.readouterr().err
    assert "2 votes are missing" in told
    assert "nba_night.mp4 2-6 (ab): the judge's reply names no winner: 'I cannot decide" in told
    assert row(out)["votes"] == "4 of 6"
    assert row(out)["scores"]["win_rate"] == {"percent": 100.0, "low": None, "high": None, "num": 4}
    with serve_llm(Llm(body=b"not json")) as llm:
        # Another address is another judge, so that all six are asked for; none of them can be read.
        assert run(arguments(data, llm, out)) == 0
    assert row(out)["votes"] == "0 of 6"


@pytest.mark.parametrize("silent", [1, 3])
def test_a_lost_vote_does_not_break_the_balance_of_orders(data, tmp_path, silent: int) -> None:
    """A judge that always says A, but is silent at times in one order: still 50, and told."""
    out = tmp_path / "out"

    def respond(body: dict[str, Any]) -> tuple[int, str]:
        is_lost = not first_is_ours(body) and (silent == 3 or "nba" in text_of(body).lower())
        return 200, "" if is_lost else "A"

    with serve_llm(Llm(respond=respond)) as llm:
        assert run(arguments(data, llm, out)) == 0
    found = row(out)
    rate = found["scores"]["win_rate"]
    assert (rate["percent"], rate["num"]) == ((50.0, 4) if silent == 1 else (None, 0))
    told = f"{silent} of 3 contests are left out"
    assert told in (out / "report.md").read_text()
    assert told in json.loads((out / "summary.json").read_text())["notes"][0]


def test_every_reply_that_was_paid_for_is_counted(data, tmp_path) -> None:
    """One window is never decided (three tries in both orders), another one at the second try only."""
    out, tried = tmp_path / "out", set[str]()

    def respond(body: dict[str, Any]) -> tuple[int, str]:
        text = text_of(body)
        if "nba" in text.lower():
            return 200, "neither"
        if text in tried:
            return likes_ours(body)
        tried.add(text)
        return 200, ""

    with serve_llm(Llm(respond=respond)) as llm:
        assert run(arguments(data, llm, out, "--price", "1000,10000")) == 0
        num_asked = len(llm.asked)
    assert num_asked == 2 * 3 + 4 * 2
    found = row(out)
    assert (found["prompt_tokens"], found["completion_tokens"]) == (10 * num_asked, 5 * num_asked)
    assert found["dollars"] == pytest.approx((10 * 1000 + 5 * 10000) * num_asked / 1e6)
    assert (
        f"{10 * num_asked} in, {5 * num_asked} out, ${found['dollars']:.2f}"
        in (out / "report.md").read_text()
    )


def test_a_wrong_key_ends_it_at_once(data, tmp_path, capsys) -> None:
    with serve_llm(Llm(respond=lambda _: (401, "no such key"))) as llm:
        assert run(arguments(data, llm, tmp_path / "out", "--workers", "1")) == 1
        assert len(llm.asked) <= 2
    assert "no such key" in capsys.readouterr().err


def test_a_server_that_fails_for_good_names_every_vote(data, tmp_path, capsys, monkeypatch) -> None:
    monkeypatch.setattr("svlm_cli.chat.RETRIES", 0)
    with serve_llm(Llm(respond=lambda _: (500, "out of order"))) as llm:
        assert run(arguments(data, llm, tmp_path / "out")) == 0
    assert "6 votes are missing" in capsys.readouterr().err


def test_killed_and_resumed_gives_the_same_file(data, tmp_path) -> None:
    def slowly(body: dict[str, Any]) -> tuple[int, str]:
        time.sleep(0.3 if first_is_ours(body) else 0.1)
        return likes_ours(body)

    with serve_llm(Llm(respond=slowly)) as llm:
        whole, cut = tmp_path / "whole", tmp_path / "cut"
        assert run(arguments(data, llm, whole)) == 0
        process = subprocess.Popen(
            [sys.executable, "-m", "svlm_cli", *arguments(data, llm, cut, "--workers", "2")],
            env=environment(),
            stderr=subprocess.PIPE,
        )
        deadline = time.monotonic() + 60
        while not (cut / "votes.jsonl").exists() or len((cut / "votes.jsonl").read_bytes().splitlines()) < 2:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        num_whole = len(votes(cut))
        assert num_whole < 6
        with (cut / "votes.jsonl").open("a") as file:
            file.write('{"id": "half a li')  # what a power cut may leave
        before = len(llm.asked)
        assert run(arguments(data, llm, cut)) == 0
        assert len(llm.asked) - before == 6 - num_whole
    for name in ("votes.jsonl", "summary.json", "report.md"):
        assert (cut / name).read_bytes() == (whole / name).read_bytes()


def test_a_vote_that_is_there_twice_counts_once(data, tmp_path, capsys) -> None:
    out = tmp_path / "out"
    with serve_llm(Llm(respond=likes_ours)) as llm:
        run(arguments(data, llm, out))
        content = (out / "votes.jsonl").read_text()
        (out / "votes.jsonl").write_text(content + content.splitlines()[0] + "\n")
        assert run(arguments(data, llm, out)) == 0
        assert len(llm.asked) == 6
    assert "is there twice and counts once" in capsys.readouterr().err
    assert row(out)["scores"]["win_rate"]["num"] == 6
    assert (out / "votes.jsonl").read_text() == content


def test_other_words_need_other_votes(data, tmp_path) -> None:
    out = tmp_path / "out"
    with serve_llm(Llm(respond=likes_ours)) as llm:
        run(arguments(data, llm, out))
        made_data.predictions(Path(data[0]), "ours anew")
        run(arguments(data, llm, out))
        assert len(llm.asked) == 12
    assert row(out)["votes"] == "6 of 6"


def test_a_dry_run_sends_nothing(data, tmp_path, capsys) -> None:
    out = tmp_path / "out"
    with serve_llm(Llm(respond=likes_ours)) as llm:
        assert run(arguments(data, llm, out, "--dry-run", "--json", "--price", "1,10")) == 0
        (plan,) = json.loads(capsys.readouterr().out)["plans"]
        assert not llm.asked
        assert not out.exists()
        run(arguments(data, llm, out, "--workers", "1"))
        letters = sum(len(text_of(body)) for body in llm.asked)
        capsys.readouterr()
        run(arguments(data, llm, out, "--dry-run"))
        assert "0 calls of fake" in capsys.readouterr().out
    assert (plan["calls"], plan["stored"], plan["completion_tokens"]) == (6, 0, 1800)
    assert plan["prompt_tokens"] == pytest.approx(letters / 4, abs=6 * 12)
    assert plan["dollars"] == pytest.approx((plan["prompt_tokens"] + 10 * 1800) / 1e6, abs=1e-4)


def test_the_address_of_the_environment_is_named(data, tmp_path, capsys, monkeypatch) -> None:
    """``OPENAI_BASE_URL`` is the same as --base-url: in the plan, in what is stored, and no key is needed."""
    out = tmp_path / "out"
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with serve_llm(Llm(respond=likes_ours)) as llm:
        monkeypatch.setenv("OPENAI_BASE_URL", llm.address)
        asked = ["bench", "commentary", "score", *data, "--judge", "fake", "--out", str(out)]
        assert run([*asked, "--dry-run"]) == 0
        assert f"6 calls of fake at {llm.address}" in capsys.readouterr().out
        assert run(asked) == 0
        assert len(llm.asked) == 6
        monkeypatch.delenv("OPENAI_BASE_URL")
        assert run(arguments(data, llm, out)) == 0
        assert len(llm.asked) == 6, "the same address, so the same votes"
