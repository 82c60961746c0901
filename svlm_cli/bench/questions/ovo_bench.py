"""``svlm bench ovo``: questions to ask, and the report on stored answers of ours or of anybody."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from svlm_cli.bench.common.events import told_apart
from svlm_cli.bench.common.intervals import Bootstrap, Estimate, Ratio
from svlm_cli.bench.common.published import OVO, OVO_ALWAYS
from svlm_cli.bench.common.records import Record
from svlm_cli.bench.common.results import RESULTS_NAME, LineForm, RunFacts, read_runs
from svlm_cli.bench.common.tables import Report, Row
from svlm_cli.bench.questions.answering import Asked, without_recent
from svlm_cli.bench.questions.asking import CANDIDATES, Question
from svlm_cli.bench.questions.ovo import GROUPS, NUM_QUERIES, OvoProtocol, Query
from svlm_cli.bench.questions.ovo_score import (
    Answered,
    OvoScore,
    exact,
    load_official,
    official,
    problems,
    response_of,
    result_files,
    score,
    shared_ids,
    strict,
)
from svlm_cli.bench.questions.ovo_videos import ovo_videos
from svlm_cli.documents import MalformedError
from svlm_cli.values import mapping

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


def asked(
    queries: Sequence[Query],
    videos: Path,
    protocol: OvoProtocol,
    tell: Callable[[str], None] = lambda _: None,
) -> list[Asked]:
    """The queries as questions to a model; ``tell`` is told which files of the folder are not taken."""
    candidates = CANDIDATES if protocol is OvoProtocol.LOGIT else ()
    return [
        Asked(
            video,
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
        for query, video in zip(queries, ovo_videos(queries, videos, tell), strict=True)
    ]


@dataclass(frozen=True, slots=True)
class Results:
    """Answers of one run.

    Args:
        name: the name of the run.
        answers: each query once.
        facts: the facts of the run.
        rule: protocol they were taken by.
        is_ours: whether ``generate`` made them.
        left_out: names of files beside them that hold something else.
    """

    name: str
    answers: Sequence[Answered]
    facts: RunFacts
    rule: OvoProtocol
    is_ours: bool = True
    left_out: Sequence[str] = ()


def load_results(paths: Sequence[Path]) -> list[Results]:
    """Read answers: every run that ``generate`` wrote to a folder; of other folders, or those in them, one
    each, in the official form; all loose files of that form are one.

    Raises:
        SourceError: a file cannot be read or is of another form.
    """
    ours = [path for path in paths if path.is_dir() and (path / RESULTS_NAME).exists()]
    found = [
        Results(run.name, list(run.lines.values()), run.facts, OvoProtocol(run.rule))
        for path in ours
        for run in read_runs(path, _ANSWERS)
    ]
    others = [path for path in paths if path not in ours]
    folders = [[model] for path in others if path.is_dir() for model in _models_of(path)]
    loose = [path for path in others if not path.is_dir()]
    stored = [*folders, *([loose] if loose else [])]
    found += [_stored(each, name) for each, name in zip(stored, _names_of(stored), strict=True)]
    names = told_apart([each.name for each in found], [each.rule.value for each in found])
    return [replace(each, name=name) for name, each in zip(names, found, strict=True)]


def _models_of(folder: Path) -> list[Path]:
    """The folder of one model's results, or those of several that it holds."""
    inner = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    return [folder] if result_files(folder) or not inner else inner


def _names_of(stored: Sequence[Sequence[Path]]) -> list[str]:
    """What each model's results are called: their folder or file, and where two are alike, what holds it."""
    named = []
    for paths in stored:
        above = {path.resolve().parent for path in paths}
        is_folder = len(paths) > 1 and len(above) == 1  # files of one, as a shell names them
        named.append(next(iter(above)) if is_folder else paths[0].resolve())
    names = [path.name if path.is_dir() else path.stem for path in named]
    return [
        name if names.count(name) == 1 else f"{path.parent.name}/{name}"
        for name, path in zip(names, named, strict=True)
    ]


def _stored(paths: Sequence[Path], name: str) -> Results:
    """The results of one model in the official form."""
    others: list[Path] = []
    answers = load_official(paths, others.append)
    columns = {"model": name, "frames": "–", "resolution": "–"}
    facts = RunFacts(columns, "OVO-Bench official, stored results")
    left_out = [path.name for path in others]
    return Results(name, answers, facts, OvoProtocol.OFFICIAL, is_ours=False, left_out=left_out)


def row(results: Results) -> Row:
    """The figures of one run, by its protocol's rule and strictly."""
    loose: Rule = exact if results.rule is OvoProtocol.LOGIT else official
    by_rule, by_strict = score(results.answers, loose), score(results.answers, strict)
    scores = _estimates(results.answers, loose, by_rule, "")
    scores |= _estimates(results.answers, strict, by_strict, "_strict")
    facts = {**results.facts.columns, "queries": str(len(results.answers))}
    return Row(results.name, results.facts.protocol, facts, scores)


def report(all_results: Sequence[Results]) -> Report:
    """The whole report."""
    notes = [
        f"**{results.name}**: {problem}."
        for results in all_results
        for problem in (*problems(results.answers), *shared_ids(results.answers))
    ]
    notes += [note for results in all_results for note in _missing(results)]
    notes += [
        f"**{results.name}**: left out, as they hold no results: {', '.join(results.left_out)}."
        for results in all_results
        if results.left_out
    ]
    own = [results.facts.protocol for results in all_results if results.is_ours]
    notes += without_recent(own)
    rules = {results.rule for results in all_results}
    return Report(
        "ovo",
        "OVO-Bench",
        [row(results) for results in all_results],
        COLUMNS,
        {
            "By task": TASKS,
            "By group, strict": {f"{name}_strict": title for name, title in TITLES.items()},
            "By task, strict": {f"{task}_strict": task for task in TASKS},
        },
        notes,
        published=[
            *(each for rule in OvoProtocol if rule in rules for each in OVO[rule.value]),
            *OVO_ALWAYS,
        ],
        drawn=TITLES,
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


def _answer(record: Record) -> tuple[str, Answered]:
    name = f"{record['task']} {record['id']}, query {record['query']}"
    if record["task"] not in NUM_QUERIES:
        raise MalformedError(f"there is no task {record['task']}")
    if "protocol" not in mapping(record["facts"], "facts"):
        raise MalformedError("its facts name no protocol")
    OvoProtocol(record["rule"])
    return name, Answered(name, record["task"], str(record["truth"]), response_of(record))


_ANSWERS = LineForm(
    "answer of OVO-Bench",
    "answers",
    _answer,
    "run generate with another --out",
    "svlm bench ovo generate",
)


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
