"""``svlm --env``: what a bug report needs to say about a machine, and nothing about whose it is.

No path, no name of a user, host or model, no token: only versions, the processor, devices and memory.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from rich.filesize import decimal

from svlm_cli import __version__

NOTHING = "not installed"
LIBRARIES = ("transformers", "tokenizers", "safetensors", "accelerate", "peft", "numpy")
MEDIA = ("decord", "faster-whisper", "ctranslate2", "yt-dlp", "pillow")
SERVING = ("typer", "rich", "starlette", "uvicorn", "websockets")
OPTIONAL = ("flash-attn", "liger-kernel", "deepspeed", "ray", "piper-tts", "lmms-eval")
VOICES = ("espeak-ng", "flite")
FEATURES = (
    *(
        "sse4_2",
        "avx",
        "avx2",
        "fma",
        "f16c",
        "avx512f",
        "avx512bw",
        "avx512_vnni",
        "avx512_bf16",
        "avx_vnni",
    ),
    *("amx_bf16", "amx_int8", "asimd", "asimddp", "bf16", "i8mm", "sve", "sve2"),
)
_CPU_FACTS, _MEMORY_FACTS = Path("/proc/cpuinfo"), Path("/proc/meminfo")
_MOST_WAIT_SECONDS = 10.0


def environment_lines() -> Iterator[str]:
    """The report, a line for each fact."""
    for name, fact in _facts():
        yield f"{name}: {fact}"


def _facts() -> Iterator[tuple[str, str]]:
    yield "svlm", __version__
    yield "Python", f"{platform.python_version()} ({platform.python_implementation()})"
    yield "system", platform.platform()
    yield from _processor()
    yield "memory", _memory()
    yield from _torch()
    yield "libraries", _versions(LIBRARIES)
    yield "PyAV", _pyav()
    yield "ffmpeg", _program("ffmpeg", "-version")
    yield "media", _versions(MEDIA)
    yield "serving", _versions(SERVING)
    yield "optional", _versions(OPTIONAL)
    yield "voices", ", ".join(name for name in VOICES if shutil.which(name)) or "none"
    named = [name for name in ("SVLM_MODEL", "SVLM_PAGE_TOKEN", "OPENAI_API_KEY") if os.environ.get(name)]
    yield "set", ", ".join(named) or "none of svlm's variables"


def _versions(names: tuple[str, ...]) -> str:
    return ", ".join(f"{name} {_version(name)}" for name in names)


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return NOTHING


def _processor() -> Iterator[tuple[str, str]]:
    facts = _table(_CPU_FACTS)
    model = facts.get("model name") or platform.processor() or platform.machine()
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    yield "processor", f"{model}, {usable} of {os.cpu_count()} cores"
    flags = set((facts.get("flags") or facts.get("Features") or "").split())
    yield "features", " ".join(name for name in FEATURES if name in flags) or "unknown"
    from svlm_cli.model.kernels.native import kernels_in_words

    yield "kernels", re.sub(r"\S*[/\\]\S*", "(a path)", kernels_in_words())


def _memory() -> str:
    facts = _table(_MEMORY_FACTS)
    with suppress(KeyError, ValueError, IndexError):
        total, free = (1024 * int(facts[name].split()[0]) for name in ("MemTotal", "MemAvailable"))
        return f"{decimal(total)}, {decimal(free)} available"
    return "unknown"


def _torch() -> Iterator[tuple[str, str]]:
    try:
        import torch
    except Exception as error:  # a broken install is what the report is about
        yield "torch", f"cannot be imported: {type(error).__name__}"
        return
    built = f"CUDA {torch.version.cuda}" if torch.version.cuda else "no CUDA"
    yield "torch", f"{torch.__version__}, built with {built}, {torch.get_num_threads()} threads"
    yield "GPU", _devices() or ("none that torch sees" if torch.version.cuda else "none for this torch")


def _devices() -> str:
    import torch

    if not torch.cuda.is_available():
        return ""
    driver = _program("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader")
    cards = [torch.cuda.get_device_properties(number) for number in range(torch.cuda.device_count())]
    told = (f"{card.name} ({decimal(card.total_memory)}, {card.major}.{card.minor})" for card in cards)
    return f"{', '.join(told)}, driver {driver}"


def _pyav() -> str:
    try:
        import av
    except Exception as error:  # as with torch
        return f"cannot be imported: {type(error).__name__}"
    parts = ("libavcodec", "libavformat")
    libraries = (f"{name} {'.'.join(map(str, av.library_versions[name]))}" for name in parts)
    return f"{av.__version__} with {', '.join(libraries)}"


def _program(name: str, *arguments: str) -> str:
    """What a program says of its version: the first line, of ffmpeg without how it was built."""
    if shutil.which(name) is None:
        return NOTHING
    try:
        done = subprocess.run(
            [name, *arguments],
            capture_output=True,
            text=True,
            errors="replace",
            check=True,
            timeout=_MOST_WAIT_SECONDS,
        )
    except (OSError, subprocess.SubprocessError) as error:
        return f"does not run: {type(error).__name__}"
    first = (done.stdout.splitlines() or [""])[0]
    return first.removeprefix(f"{name} version ").partition(" Copyright")[0]


def _table(path: Path) -> dict[str, str]:
    """The first value of each name in a file of the kernel's; empty where there is none."""
    found: dict[str, str] = {}
    with suppress(OSError):
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            name, colon, value = line.partition(":")
            if colon:
                found.setdefault(name.strip(), value.strip())
    return found
