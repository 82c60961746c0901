"""What was measured, as a table: medians, and ratios of svlm to the fastest of the others."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

from benchmarks.peer_parts.shapes import STAGES

OWN = "svlm"
NOTHING = "–"
STEPS = {2: "step at 2 FPS", 8: "step at 8 FPS"}
Times = Mapping[str, Mapping[str, Sequence[float]]]  # by engine, by stage: milliseconds, one a round


def medians(times: Times) -> dict[str, dict[str, float]]:
    """By row of the table (stages, then whole steps that every stage was measured for), by engine.

    A step is the sum of its stages: the tower, a prefill, and twenty words.
    """
    found: dict[str, dict[str, float]] = {}
    for engine, stages in times.items():
        middle = {name: statistics.median(taken) for name, taken in stages.items() if taken}
        for name, milliseconds in middle.items():
            found.setdefault(STAGES[name].title, {})[engine] = milliseconds
        for fps, title in STEPS.items():
            parts = {name: stage.count[1] for name, stage in STAGES.items() if stage.count[0] == fps}
            if set(parts) <= set(middle):
                found.setdefault(title, {})[engine] = sum(
                    count * middle[name] for name, count in parts.items()
                )
    titles = [*(stage.title for stage in STAGES.values()), *STEPS.values()]
    return {title: found[title] for title in titles if title in found}


def ratios(times: Times) -> dict[str, float]:
    """By row: svlm to the fastest of the others. Of a stage the median of the rounds' ratios, of a step the
    ratio of the sums."""
    found = {}
    for name, stage in STAGES.items():
        others = [stages[name] for engine, stages in times.items() if engine != OWN and stages.get(name)]
        own = times.get(OWN, {}).get(name)
        if own and others:
            found[stage.title] = statistics.median(
                mine / min(each) for mine, *each in zip(own, *others, strict=True)
            )
    for title, row in medians(times).items():
        others_of_step = [milliseconds for engine, milliseconds in row.items() if engine != OWN]
        if title in STEPS.values() and OWN in row and others_of_step:
            found[title] = row[OWN] / min(others_of_step)
    return found


def table(
    times: Mapping[str, Times], floors: Mapping[str, Mapping[str, float]], engines: Sequence[str]
) -> str:
    """All formats in Markdown.

    Args:
        times: by number format.
        floors: milliseconds by number format and stage.
        engines: the columns.
    """
    last = [f"{OWN} to the fastest", "floor", f"{OWN} to its floor"]
    lines = [f"| format | stage, CPU ms | {' | '.join([*engines, *last])} |"]
    lines.append("|---" * (len(engines) + 5) + "|")
    titles = {stage.title: name for name, stage in STAGES.items()}
    for number_format, taken in times.items():
        ratio = ratios(taken)
        for title, row in medians(taken).items():
            floor = floors.get(number_format, {}).get(titles.get(title, ""))
            own = row.get(OWN)
            cells = [_told(row.get(engine)) for engine in engines]
            cells.append(f"**{ratio[title]:.2f}**" if title in ratio else NOTHING)
            cells.append(_told(floor))
            cells.append(f"{own / floor:.2f}" if own and floor else NOTHING)
            lines.append(f"| {number_format} | {title} | {' | '.join(cells)} |")
    return "\n".join(lines)


def difference(own: Sequence[float], other: Sequence[float]) -> float:
    """Root mean square of what two engines differ by, in standard deviations of the first's numbers."""
    middle = statistics.fmean(own)
    spread = statistics.fmean((each - middle) ** 2 for each in own)
    apart = statistics.fmean((one - two) ** 2 for one, two in zip(own, other, strict=True))
    return float((apart / spread) ** 0.5)


def _told(milliseconds: float | None) -> str:
    if milliseconds is None:
        return NOTHING
    return f"{milliseconds:,.0f}" if milliseconds >= 100 else f"{milliseconds:.1f}"
