"""``svlm bench ovo``: questions to ask, and the report on stored answers of ours or of anybody."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from svlm_cli.bench.common.events import numbered
from svlm_cli.bench.common.intervals import Bootstrap, Estimate, Ratio
from svlm_cli.bench.common.records import put_once, read_lines
from svlm_cli.bench.common.tables import Report, Row
from svlm_cli.bench.common.work import RESULTS_NAME, find_video
from svlm_cli.bench.questions.answering import Asked, without_recent
from svlm_cli.bench.questions.asking import CANDIDATES, Question
from svlm_cli.bench.questions.ovo import GROUPS, NUM_QUERIES, OvoProtocol, Query
from svlm_cli.bench.questions.ovo_score import (
    MISSING,
    Answered,
    OvoScore,
    exact,
    load_official,
    official,
    problems,
    score,
    strict,
)
from svlm_cli.errors import SourceError

TITLES: Mapping[str, str] = {
    "backward": "backward",
    "realtime": "real-time",
    "forward": "forward",
    "total": "total",
}
COLUMNS: Mapping[str, str] = {
    f"{name}{suffix}": f"{title}{told}"
    for suffix, told in (("", ""), ("_strict", ", strict"))
    for name, title in TITLES.items()
}
TASKS: Mapping[str, str] = {task: task for tasks in GROUPS.values() for task in tasks}

Rule = Callable[[str, str, str], bool]


def asked(queries: Sequence[Query], videos: Path, protocol: OvoProtocol) -> list[Asked]:
    """The queries as questions to a model."""
    candidates = CANDIDATES if protocol is OvoProtocol.LOGIT else ()
    return [
        Asked(
            find_video(videos, query.video),
            Question(query.key, query.shown_from, query.at_seconds, query.prompt, candidates),
            {
                "id": query.id,
                "query": query.number,
                "task": query.task,
                "video": query.video,
                "realtime": query.at_seconds,
                "truth": query.truth,
                "rule": protocol.value,
            },
        )
        for query in queries
    ]


@dataclass(frozen=True, slots=True)
class Results:
    """Answers of one run.

    Args:
        name: of the run.
        answers: each query once.
        facts: of the run.
        rule: protocol they were taken by.
        is_ours: whether ``generate`` made them.
    """

    name: str
    answers: Sequence[Answered]
    facts: Mapping[str, str]
    rule: OvoProtocol
    is_ours: bool = True


def load_results(paths: Sequence[Path]) -> list[Results]:
    """Read answers: of folders that ``generate`` has filled, a run for each; all else in the official form.

    Raises:
        SourceError: a file cannot be read or is of another form.
    """
    ours = [path for path in paths if path.is_dir() and (path / RESULTS_NAME).exists()]
    found = [run for path in ours for run in _own_runs(path / RESULTS_NAME)]
    others = [path for path in paths if path not in ours]
    if others:
        facts = {"protocol": "OVO-Bench official, stored results", "frames": "–", "resolution": "–"}
        name = others[0].name if others[0].is_dir() else others[0].stem
        found.append(
            Results(name, load_official(others), {"model": name} | facts, OvoProtocol.OFFICIAL, is_ours=False)
        )
    return found


def row(results: Results) -> Row:
    """The figures of one run, by its protocol's rule and strictly."""
    loose: Rule = exact if results.rule is OvoProtocol.LOGIT else official
    by_rule, by_strict = score(results.answers, loose), score(results.answers, strict)
    scores = _estimates(results.answers, loose, by_rule, "")
    scores |= _estimates(results.answers, strict, by_strict, "_strict")
    facts = dict(results.facts)
    protocol = facts.pop("protocol")
    return Row(results.name, protocol, facts | {"queries": str(len(results.answers))}, scores)


def report(all_results: Sequence[Results]) -> Report:
    """The whole report."""
    notes = [
        f"**{results.name}**: {problem}." for results in all_results for problem in problems(results.answers)
    ]
    notes += [note for results in all_results for note in _missing(results)]
    own = [results.facts["protocol"] for results in all_results if results.is_ours]
    notes += without_recent(own)
    return Report(
        "ovo",
        "OVO-Bench",
        [row(results) for results in all_results],
        COLUMNS,
        {"By task": TASKS, "By task, strict": {f"{task}_strict": task for task in TASKS}},
        notes,
    )


def _missing(results: Results) -> list[str]:
    """A note where queries of the benchmark have no answer: how many, of which tasks."""
    asked = Counter(each.task for each in results.answers)
    parts = [f"{task} {asked[task]} of {whole}" for task, whole in NUM_QUERIES.items() if asked[task] < whole]
    if not parts:
        return []
    whole = sum(NUM_QUERIES.values())
    return [
        f"**{results.name}**: Part of OVO-Bench only, {len(results.answers):,} of {whole:,} queries; means "
        f"and total are of what was asked. Missing in: {', '.join(parts)}."
    ]


def _own_runs(file: Path) -> list[Results]:
    """The runs in results of ours; another model or setting under the same name is a run of its own."""
    answers: dict[tuple[str, str, str], dict[str, Answered]] = defaultdict(dict)
    facts: dict[tuple[str, str, str], str] = {}
    for number, record in enumerate(read_lines(file, "answers"), start=1):
        try:
            name = f"{record['task']} {record['id']}, query {record['query']}"
            told = json.dumps({key: str(value) for key, value in record["facts"].items()})
            mark = str(record.get("fingerprint"))
            run = str(record["run"]), OvoProtocol(record["rule"]).value, mark
            facts.setdefault(run, told)
            response = record.get("response", MISSING)
            if "protocol" not in record["facts"]:
                raise ValueError("its facts name no protocol")
            if record["task"] not in NUM_QUERIES:
                raise ValueError(f"there is no task {record['task']}")
            answer = Answered(name, record["task"], str(record["truth"]), response)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise SourceError(
                f"line {number} of {file} is no answer of OVO-Bench: {error!r}",
                "run generate with another --out",
            ) from error
        put_once(answers[run], name, answer, f"{run[0]}, {name}", f"line {number} of {file}")
    if not answers:
        raise SourceError(f"{file} holds no answers", "svlm bench ovo generate makes them")
    names = numbered([run[0] for run in answers])
    return [
        Results(name, list(found.values()), json.loads(facts[run]), OvoProtocol(run[1]))
        for name, (run, found) in zip(names, answers.items(), strict=True)
    ]


def _estimates(answers: Sequence[Answered], rule: Rule, scored: OvoScore, suffix: str) -> dict[str, Estimate]:
    """Tasks with their interval over queries; groups and total as the official mean, without one."""
    estimates = {}
    for task in scored.tasks:
        own = [each for each in answers if each.task == task]
        right = [
            Ratio(int(isinstance(each.response, str) and rule(task, each.response, each.truth)), 1)
            for each in own
        ]
        estimates[f"{task}{suffix}"] = Bootstrap(len(right)).estimate(right)
    for group in GROUPS:
        num = sum(scored.tasks[task].whole for task in GROUPS[group] if task in scored.tasks)
        estimates[f"{group}{suffix}"] = Estimate(scored.group(group), None, None, num)
    estimates[f"total{suffix}"] = Estimate(scored.total, None, None, len(answers))
    return estimates
