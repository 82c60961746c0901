"""Small data in the true formats of the benchmarks."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

GAMES = (("soccer/cup_final.mp4", "Cup final", 12), ("nba_night.mp4", "NBA night", 10))
WINDOWS = ((0, 2, 6), (0, 6, 10), (1, 2, 6))


def lines(path: Path, records: list[dict[str, Any]]) -> Path:
    path.write_text("".join(f"{json.dumps(record)}\n" for record in records))
    return path


def said(start: int, end: int) -> list[list[Any]]:
    return [[second, second + 1, f"second {second} he shoots"] for second in range(start, end)]


def metadata(folder: Path) -> tuple[Path, Path]:
    """Games and scored windows."""
    games = [{"video": video, "title": title, "content": said(0, end)} for video, title, end in GAMES]
    clips = [
        {"video": GAMES[game][0], "title": GAMES[game][1], "content": said(start, end)}
        for game, start, end in WINDOWS
    ]
    return lines(folder / "metadata.jsonl", games), lines(folder / "clips.jsonl", clips)


def predictions(path: Path, words: str) -> Path:
    """Somebody's words, one item a second, in every game."""
    return lines(
        path,
        [
            {
                "video": Path(video).name,
                "chunk_start": 0,
                "chunk_end": end,
                "items": [
                    {"response": f"{words} {second}", "start_time": second, "end_time": second + 1}
                    for second in range(end)
                ],
            }
            for video, _, end in GAMES
        ],
    )


def events(folder: Path) -> Path:
    """Events of LiveSports."""
    rows = [
        {
            "video": f"{video}.mp4",
            "video_id": video,
            "event_id": number,
            "begin": begin,
            "end": end,
            "event_title": "A game",
            "preasr_text": "so far so good",
            "event_asr_text": "he shoots and scores",
        }
        for number, (video, begin, end) in enumerate(
            (("cup_final", 1.25, 5.5), ("nba_night", 0.0, 4.0), ("nba_night", 4.0, 8.0))
        )
    ]
    return lines(folder / "events.jsonl", rows)


def ovo(folder: Path) -> Path:
    """Annotations of OVO-Bench, one item of each kind."""
    choice = {"options": ["red", "blue", "green", "none"]}
    items = [
        {
            "id": 0,
            "task": "EPM",
            "video": "a/cup_final.mp4",
            "realtime": 5,
            "question": "Which?",
            "gt": 2,
            **choice,
        },
        {
            "id": 1,
            "task": "OCR",
            "video": "nba_night.mp4",
            "realtime": 3.5,
            "question": "What?",
            "gt": 0,
            **choice,
        },
        {
            "id": 2,
            "task": "REC",
            "video": "nba_night.mp4",
            "activity": "jump",
            "test_info": [{"realtime": 2, "count": 1}, {"realtime": 8, "count": 12}],
        },
        {
            "id": 3,
            "task": "CRR",
            "video": "cup_final.mp4",
            "question": "Who falls?",
            "ask_time": 4,
            "clue_time": 6,
            "test_info": [{"realtime": 4, "type": 0}, {"realtime": 7, "type": 1}],
        },
        {
            "id": 4,
            "task": "SSR",
            "video": "cup_final.mp4",
            "test_info": [{"realtime": 0.5, "step": "cut it", "type": 1}],
        },
    ]
    path = folder / "ovo.json"
    path.write_text(json.dumps(items))
    return path


def longvideo(folder: Path) -> Path:
    """Questions of LongVideoBench, options in both forms."""
    rows = [
        {
            "id": "q1",
            "video_path": "cup_final.mp4",
            "question": "What happens?",
            "candidates": ["a goal", "a card", "nothing"],
            "correct_choice": 0,
            "duration_group": 15,
            "question_category": "S2E",
        },
        {
            "id": "q2",
            "video_path": "nba_night.mp4",
            "question": "Who wins?",
            "option0": "red",
            "option1": "blue",
            "option2": "N/A",
            "correct_choice": 1,
            "duration_group": 600,
            "question_category": "T2O",
        },
    ]
    path = folder / "lvb.json"
    path.write_text(json.dumps(rows))
    return path


def videos(folder: Path, make_video: Callable[..., Path]) -> Path:
    """The two games."""
    target = folder / "videos"
    target.mkdir()
    make_video(target / "cup_final.mp4", seconds=12)
    make_video(target / "nba_night.mp4", seconds=10)
    return target


def all_of_the_readme(folder: Path, make_video: Callable[..., Path]) -> None:
    """Everything that README's commands name, with a game that is longer than the paper's start of 1000 s."""
    videos(folder, make_video)
    make_video(folder / "long_final.mp4", seconds=1008, fps=2, size=(64, 48))
    game = {"video": "soccer/long_final.mp4", "title": "Cup final"}
    lines(folder / "eval_all_metadata.jsonl", [{**game, "content": said(990, 1008)}])
    lines(folder / "score_all_clips.jsonl", [{**game, "content": said(s, s + 4)} for s in (1000, 1004)])
    events(folder)
    ovo(folder).rename(folder / "ovo_bench_new.json")
    longvideo(folder).rename(folder / "lvb_val.json")
    templates = {
        f"{name}_PROMPT_TEMPLATE": "Asked: {} {}" if name == "BR" else "Asked: {}"
        for name in ("BR", "REC", "SSR", "CRR")
    }
    (folder / "prompts.json").write_text(json.dumps({"templates": templates}))
