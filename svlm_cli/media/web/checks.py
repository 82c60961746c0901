"""What can be checked before a download: what the machine has, and what the user gave."""

from __future__ import annotations

import io
import re
import shutil

from svlm_cli.errors import UsageError, boundary

JAVASCRIPT_RUNTIMES = ("deno", "node", "bun", "quickjs")


def preflight() -> tuple[str, ...]:
    """What yt-dlp finds on this machine, and what it lacks, a line each.

    YouTube's addresses need a JavaScript runtime (yt-dlp #15012), tracks that come apart need ffmpeg.
    """
    import yt_dlp.version
    from yt_dlp.globals import supported_js_runtimes

    known = {name: supported_js_runtimes.value.get(name) for name in JAVASCRIPT_RUNTIMES}
    infos = [runtime().info for runtime in known.values() if runtime is not None]
    usable = [info for info in infos if info is not None and info.supported]
    old = [
        f"{info.name} {info.version} is too old" for info in infos if info is not None and not info.supported
    ]
    lines = [f"yt-dlp {yt_dlp.version.__version__}"]
    if usable:
        lines.append(f"JavaScript: {usable[0].name} {usable[0].version} ({usable[0].path})")
    else:
        reasons = f" ({', '.join(old)})" if old else ""
        lines.append(f"no JavaScript runtime{reasons}: YouTube needs one, install deno or node 22")
    if shutil.which("ffmpeg") is None:
        lines.append("no ffmpeg: only files with picture and sound in one, which are often small")
    return tuple(lines)


def parse_rate(text: str) -> int:
    """``5M`` as bytes per second.

    Raises:
        UsageError: it is no amount.
    """
    from yt_dlp.utils import parse_bytes

    amount = parse_bytes(text)
    if not amount or amount < 1:
        raise UsageError(f"--rate-limit {text}: not an amount of bytes", "e.g. --rate-limit 5M")
    return int(amount)


def check_cookies(text: str, name: str) -> None:
    """Make sure that yt-dlp can read a cookie file.

    Args:
        text: what it holds.
        name: the name of the file, for the error.

    Raises:
        UsageError: it is not in Netscape's format, or holds no cookie.
    """
    from yt_dlp.cookies import YoutubeDLCookieJar

    jar = YoutubeDLCookieJar(io.StringIO(text))
    with boundary(f"--cookies {name} is no cookie file in Netscape's format", UsageError):
        jar.load(ignore_discard=True, ignore_expires=True)
    if not len(jar):
        raise UsageError(f"--cookies {name} holds no cookie")


def browser_cookies(text: str) -> tuple[str, str | None, str | None, str | None]:
    """``BROWSER[+KEYRING][:PROFILE][::CONTAINER]`` as yt-dlp's parameter takes it.

    Raises:
        UsageError: it does not know the browser; names those it knows.
    """
    from yt_dlp.cookies import SUPPORTED_BROWSERS

    found = re.fullmatch(r"([^+:]+)(?:\+([^:]+))?(?::(?!:)(.+?))?(?:::(.+))?", text)
    name = found[1].strip().lower() if found else ""
    if found is None or name not in SUPPORTED_BROWSERS:
        known = ", ".join(sorted(SUPPORTED_BROWSERS))
        raise UsageError(f"--cookies-from-browser {text}: no such browser", f"one of {known}")
    return name, found[3], found[2].strip().upper() if found[2] else None, found[4]
