"""The results of the check as a table and as a section of docs/performance.md, measured beside predicted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from arithmetic import PIXELS, WORDS, step

TITLE = "## On a GPU: measured beside predicted"
NOTHING = "–"
GIB, MILLI = 2**30, 1e3
EFFICIENCY = 0.6
# Dense bfloat16 FLOP/s and bytes/s by NVIDIA's data sheets (SXM).
PEAKS = {"H200": (989e12, 4.8e12), "H100": (989e12, 3.35e12), "A100": (312e12, 2.04e12)}
ASSUMED = "H100"
PICTURE, RATES = "640x360", (2, 8, 24, 60)
# Of the paper, read off: 7B at 8 FPS on one H100.
FIGURE_7 = {
    "full": "0.1 s/token at about 60 s, out of memory at about 230 s",
    "window": "0.035 to 0.18 s/token, as a saw",
    "recompute": "0.25 to 0.41 s/token",
}
STAGES = ("vision", "prefill", "decode")
INTRODUCTION = """\
`bash benchmarks/gpu.sh` (Linux, CUDA, Python 3.11 or newer, torch and transformers; no network, no weights)
checks every CUDA path and measures in eight minutes, part by part, and ends with a table; what else such a
machine may lack is gathered beforehand by `bash benchmarks/gpu_wheels.sh`. A rehearsal without a GPU:
`bash benchmarks/gpu.sh --device cpu --size tiny --seconds 20`.
This section is what `python benchmarks/gpu.py --markdown gpu-results/results.json` prints."""


def table(results: Mapping[str, Any]) -> str:
    """All figures for a terminal: Markdown."""
    lines = ["| part | what | found |", "|---|---|---|"]
    for letter, part in results["parts"].items():
        said = f"{part['status']}, {part['wall_seconds']:.0f} s"
        lines.append(f"| {letter} | {part['title']} | {said}{_because(part['reason'])} |")
        lines += [f"| {letter} | {name} | {told} |" for name, told in _found(part)]
    return "\n".join([_machine(results), "", *lines])


def section(results: Mapping[str, Any] | None) -> str:
    """The section of docs/performance.md; without results it says so."""
    if results is None:
        first = "**No GPU has run it yet**: what stands below is predicted, nothing is measured."
        return "\n\n".join([TITLE, INTRODUCTION, first, _speeds({}, ASSUMED)])
    gpu = str(results["machine"].get("gpu", ""))
    known = next((name for name in PEAKS if name in gpu), ASSUMED)
    fast = results["parts"].get("b", {}).get("values", {})
    if results["size"] != "real":  # a small model's figures do not stand beside what is predicted for 7B
        fast = {}
    return "\n\n".join([TITLE, INTRODUCTION, _speeds(fast, known), table(results)])


def _machine(results: Mapping[str, Any]) -> str:
    facts = results["machine"]
    versions = [f"{name} {number}" for name, number in facts["versions"].items() if number]
    memory = f" ({facts['gpu_memory_bytes'] / GIB:.0f} GiB)" if "gpu_memory_bytes" in facts else ""
    named = f"{facts.get('gpu', facts['device'])}{memory}, {facts['cores']} cores"
    files = f", files {facts['files']}" if "files" in facts else ""
    size = (
        "" if results["size"] == "real" else f"; **a rehearsal of size {results['size']}: not svlm's speed**"
    )
    return f"{named}, Python {facts['python']}, {', '.join(versions)}{files}{size}."


def _because(reason: str) -> str:
    return f": {reason}" if reason else ""


def _speeds(found: Mapping[str, Any], known: str) -> str:
    """A step of 7B at each rate, by stage, measured / predicted."""
    peak, bandwidth = (EFFICIENCY * each for each in PEAKS[known])
    lines = [
        f"7B in bfloat16, {PICTURE}, full window of 16 s, 20 words a second: milliseconds of a step (1 s),",
        f"measured / predicted for an {known} at {100 * EFFICIENCY:.0f} % of its data sheet.",
        "Measured steps include reading and upkeep; \\* marks a run that ended before the window was full.",
        "",
        "| FPS | vision | prefill | decode | step | ms a word | p95 | peak memory, GiB | to the floor |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for fps in RATES:
        _, stages = step(fps, PIXELS[PICTURE])
        predicted = {name: MILLI * stages[name].seconds(peak, bandwidth) for name in STAGES}
        total = sum(predicted.values())
        row = found.get(f"{fps} FPS")
        cells = [
            _both(None if row is None else MILLI * row["stages"][name], predicted[name]) for name in STAGES
        ]
        cells.append(_both(None if row is None else MILLI * row["p50_step_seconds"], total))
        word = None if row is None else MILLI * row["seconds_per_token"]
        cells.append(_both(word, total / WORDS, 1))
        cells += [NOTHING] * 3 if row is None else _rest(row)
        mark = "" if row is None or row["is_window_full"] else " \\*"
        lines.append(f"| {fps}{mark} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _both(measured: float | None, predicted: float, digits: int = 0) -> str:
    return f"{NOTHING if measured is None else f'{measured:.{digits}f}'} / {predicted:.{digits}f}"


def _rest(row: Mapping[str, Any]) -> list[str]:
    floor = row["floor"]
    return [
        f"{MILLI * row['p95_step_seconds']:.0f}",
        f"{row['peak_device_bytes'] / GIB:.1f}",
        NOTHING if floor is None else f"{floor['ratio']['all']:.2f}",
    ]


def _found(part: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Name and figures of everything in a part."""
    for check in part["checks"]:
        yield check["name"], f"{'yes' if check['holds'] else '**NO**'}: {check['found']}"
    for name, value in part["values"].items():
        yield name, _told(value)


def _told(value: Any) -> str:
    if not isinstance(value, dict):
        return str(value)
    if "stages" in value:
        return _stream(value)
    if "losses" in value:
        return _training(value)
    if "costliest" in value:
        return _profile(value)
    if "channels" in value:
        return _channels(value)
    if "trials" in value:
        tried = ", ".join(f"{each['fps']:g} FPS {each['p95_step_seconds']:.3f} s" for each in value["trials"])
        return f"at least {value['at_least']:g}, below {value['below'] or NOTHING}; p95 of a step: {tried}"
    return ", ".join(
        f"{key} {each:.4g}" if isinstance(each, float) else f"{key} {each}" for key, each in value.items()
    )


def _stream(row: Mapping[str, Any]) -> str:
    stages = ", ".join(f"{name} {MILLI * seconds:.1f}" for name, seconds in row["stages"].items())
    steps = " / ".join(f"{MILLI * row[f'{each}_step_seconds']:.0f}" for each in ("p50", "p95", "p99"))
    told = [
        f"ms: {stages}; step p50 / p95 / p99 {steps}",
        f"{row['seconds_per_token']:.4f} s/token, {row['seconds_per_token_end_to_end']:.4f} end to end",
        f"{row['realtime_factor']:.2f} x real time",
        f"{row['cached_tokens']} tokens cached, peak {row['peak_device_bytes'] / GIB:.1f} GiB",
        f"{row['steps'] - row['warm_up_steps']} steps of {row['words_per_step']:.1f} words",
    ]
    if "least_words_in_a_step" in row:
        told.append(f"{row['least_words_in_a_step']} words at least in every step")
    if not row.get("is_window_full", True):
        told.append("**ended before the window was full**")
    elif row.get("cut_short"):
        told.append("cut short, without a floor of all steps")
    if row["floor"] is not None:
        ratios = row["floor"]["ratio"]
        parts = ", ".join(
            f"{name} {NOTHING if each is None else f'{each:.2f}'}" for name, each in ratios.items()
        )
        told.append(f"to the floor: {parts}")
    if "seconds_streamed" in row:
        told.append(f"{row['seconds_streamed']} s streamed; the paper's figure 7: {FIGURE_7[row['policy']]}")
        passes = row["passes_0.1_s_per_token_at"]
        told.append(
            f"s/token every 20 s: {row['seconds_per_token_every_20_s']}, passes 0.1 at "
            f"{NOTHING if passes is None else f'{passes} s'}"
        )
    return "; ".join(told)


def _channels(row: Mapping[str, Any]) -> str:
    p50, p95 = (MILLI * row[f"round_{each}_seconds"] for each in ("p50", "p95"))
    held = row["bytes_per_channel"]
    memory = f", {held / GIB:.2f} GiB a channel" if held else ""
    return (
        f"{'in real time' if row['is_real_time'] else '**not in real time**'}: a second of all took "
        f"p50 / p95 {p50:.0f} / {p95:.0f} ms, {p50 / row['channels']:.1f} ms a channel; "
        f"{row['words_per_step']:.1f} words a step{memory}, {row['rounds']} rounds"
    )


def _training(run: Mapping[str, Any]) -> str:
    rate = run["tokens_per_second"]
    return (
        f"{run['steps']} steps, loss {run['losses'][0]:.3f} to {run['losses'][-1]:.3f}, "
        f"{NOTHING if rate is None else f'{rate:.0f}'} tokens/s, {100 * run['waiting_share']:.0f} % waiting, "
        f"peak {run['peak_device_bytes'] / GIB:.1f} GiB, {run['seconds']:.0f} s"
    )


def _profile(found: Mapping[str, Any]) -> str:
    kernels = "; ".join(
        f"{each['kernel']} {100 * each['share']:.0f} % in {each['calls']}" for each in found["costliest"]
    )
    return (
        f"step {MILLI * found['step_seconds']:.0f} ms under the profiler, "
        f"device idle {100 * found['idle_share']:.0f} % of it, "
        f"{100 * found['idle_share_between_kernels']:.0f} % between its first kernel and its last, "
        f"{found['num_kernels']} kernels; {kernels}"
    ).replace("|", "\\|")
