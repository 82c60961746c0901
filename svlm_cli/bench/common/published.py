"""Figures that others printed, as rows beside ours: LiveCC and the last frames wherever there are some.

They are read off papers, not measured here. Each row says where it stands there and by which protocol it was
had; compare it with rows of the same protocol only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from svlm_cli.bench.common.intervals import Estimate
from svlm_cli.bench.common.tables import Row

_STREAMING_VLM = "StreamingVLM, arXiv 2510.09608"
_LIVECC = "LiveCC, arXiv 2504.16030"
_SIMPLE = "SimpleStream, arXiv 2604.02317"
_OVO = "OVO-Bench, result files of its repository"
_BASE, _LIVECC_MODEL = "Qwen2.5-VL-7B-Instruct", "LiveCC-7B-Instruct"
_LIVECC_DATA = f"{_BASE} trained on Live-WhisperX-526K"


def _row(
    run: str,
    protocol: str,
    source: str,
    scores: Mapping[str, float],
    paper: str | None = None,
    rival: str = "",
) -> Row:
    facts = {"model": run, **({"rival": rival} if rival else {}), "source": source}
    return Row(
        run,
        f"published: {protocol}",
        facts,
        {name: Estimate(percent, None, None, 0) for name, percent in scores.items()},
        paper,
    )


def _wins(run: str, protocol: str, percent: float, rival: str, source: str) -> Row:
    return _row(run, protocol, source, {"win_rate": percent}, rival=rival)


_PIECES, _INFINITE = "Inf-Streams-Eval, pieces of 100 s", "Inf-Streams-Eval, infinite"
_MINI = "GPT-4o mini in pieces of 100 s"
COMMENTARY: Sequence[Row] = tuple(
    _wins(run, protocol, percent, _MINI, f"{_STREAMING_VLM}, table 1")
    for run, protocol, percent in (
        (_BASE, _PIECES, 0.01),
        (_LIVECC_MODEL, _PIECES, 15.73),
        (_LIVECC_MODEL, _INFINITE, 1.82),
        ("StreamingVLM", _INFINITE, 66.18),
    )
)
LIVESPORTS: Sequence[Row] = (
    *(
        _wins(
            run,
            "LiveSports-3K CC",
            percent,
            "GPT-4o",
            f"{_STREAMING_VLM}, table 1",
        )
        for run, percent in ((_BASE, 16.25), (_LIVECC_MODEL, 40.06), ("StreamingVLM", 45.59))
    ),
    _wins(
        _LIVECC_MODEL,
        "LiveSports-3K CC, by its own authors",
        47.24,
        "GPT-4o",
        "LiveCC, judge file of its repository",
    ),
)
_LOGIT, _REPLY = "OVO-Bench logit, real-time tasks", "OVO-Bench official"
OVO: Mapping[str, Sequence[Row]] = {
    "logit": (
        _row(_BASE, _LOGIT, f"{_STREAMING_VLM}, table 3", {"realtime": 56.00}),
        _row(_LIVECC_DATA, _LOGIT, f"{_STREAMING_VLM}, table 6", {"realtime": 57.69}),
        _row("StreamingVLM", _LOGIT, f"{_STREAMING_VLM}, table 3", {"realtime": 61.96}),
    ),
    "official": (
        _row(
            "Flash-VStream-7B",
            _REPLY,
            _OVO,
            {"backward": 27.38, "realtime": 28.37, "forward": 45.09, "total": 33.61},
        ),
        _row("Qwen2-VL-7B", _REPLY, _OVO, {"total": 50.39}),
        _row("Qwen2-VL-72B", _REPLY, _OVO, {"total": 56.27}),
        _row("Gemini 1.5 Pro", _REPLY, _OVO, {"total": 63.00}),
        _row(
            "GPT-4o", _REPLY, _OVO, {"backward": 60.75, "realtime": 64.46, "forward": 52.92, "total": 59.38}
        ),
    ),
}
OVO_ALWAYS: Sequence[Row] = (
    _row("Qwen2-VL-7B-Instruct", "OVO-Bench, LiveCC's own evaluation", _LIVECC, {"total": 50.4}),
    _row(_LIVECC_MODEL, "OVO-Bench, LiveCC's own evaluation", _LIVECC, {"total": 59.8}),
    _row(
        "SimpleStream, last 4 frames",
        "OVO-Bench, last 4 frames at 1 FPS; real-time 76 to 78 by base weights, here the middle",
        _SIMPLE,
        {"realtime": 77.0},
        "real-time 76 to 78; 67.7 over backward and real-time with Qwen3-VL-8B",
    ),
)
LONGVIDEO: Sequence[Row] = tuple(
    _row(run, "LongVideoBench val", f"{_STREAMING_VLM}, table {table}", {"accuracy_first_letter": percent})
    for run, table, percent in ((_BASE, 3, 54.70), (_LIVECC_DATA, 6, 54.30), ("StreamingVLM", 3, 59.00))
)
