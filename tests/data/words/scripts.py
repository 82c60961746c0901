"""Scripts of speech whose words have known times, and what captions make of them: renderers of their own."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from xml.sax.saxutils import escape

NOUNS = ("goal", "keeper", "ball", "corner", "pass", "header", "Anfield", "it", "she", "they", "a", "2-1")
VERBS = ("saves", "scores", "wins", "takes", "loses", "that's", "&", "<plays>", "what", "no")


@dataclass(frozen=True)
class Said:
    text: str
    start: float
    end: float


Line = tuple[Said, ...]


def script(rng: random.Random, num_lines: int = 60, *, longest_pause: float = 9.0) -> list[Line]:
    """Lines of one to six words, some said twice or more, some after a pause."""
    lines: list[Line] = []
    texts: list[str] = []
    time = rng.uniform(0.5, 3.0)
    for _ in range(num_lines):
        again = texts and rng.random() < 0.2
        texts = texts if again else [rng.choice(NOUNS + VERBS) for _ in range(rng.randint(1, 6))]
        words = []
        for text in texts:
            length = rng.uniform(0.15, 0.25) + 0.05 * len(text)
            words.append(Said(text, round(time, 2), round(time + length, 2)))
            time += length + rng.uniform(0.02, 0.1)
        lines.append(tuple(words))
        time += rng.uniform(1.0, longest_pause) if rng.random() < 0.25 else rng.uniform(0.1, 0.6)
    return lines


def text(line: Line) -> str:
    return " ".join(word.text for word in line)


def clock(seconds: float, mark: str = ".") -> str:
    number = round(seconds * 1000)
    hours, minutes = number // 3_600_000, number // 60_000 % 60
    return f"{hours:02d}:{minutes:02d}:{number // 1000 % 60:02d}{mark}{number % 1000:03d}"


def srt(cues: list[tuple[float, float, str]]) -> str:
    return "".join(
        f"{number}\n{clock(start, ',')} --> {clock(end, ',')}\n{escape(shown)}\n\n"
        for number, (start, end, shown) in enumerate(cues, 1)
    )


def vtt(cues: list[tuple[float, float, str]]) -> str:
    return "WEBVTT\n\n" + "".join(
        f"{clock(start)} --> {clock(end)}\n{shown}\n\n" for start, end, shown in cues
    )


def screens(
    lines: list[Line], num_rows: int, rng: random.Random
) -> Iterator[tuple[float, float, list[Line]]]:
    """What a roll-up decoder shows, each time a line comes; cleared in some of the longer pauses."""
    shown: list[Line] = []
    for number, line in enumerate(lines):
        shown = [*shown, line][-num_rows:]
        behind = lines[number + 1][0].start if number + 1 < len(lines) else line[-1].end + 5
        clears = behind - line[-1].end > 3 and rng.random() < 0.5
        yield line[0].start, behind - 1.5 if clears else behind, shown
        shown = [] if clears else shown


def roll_up(lines: list[Line], num_rows: int, rng: random.Random) -> list[tuple[float, float, str]]:
    gap = rng.choice([0.0, 0.001, 0.034])
    return [
        (start, end - gap, "\n".join(map(text, shown))) for start, end, shown in screens(lines, num_rows, rng)
    ]


def painted(lines: list[Line], num_rows: int, rng: random.Random) -> list[tuple[float, float, str]]:
    """The same, as letters come: two at a time, shown every now and then."""
    cues = []
    for start, end, shown in screens(lines, num_rows, rng):
        above, line = shown[:-1], shown[-1]
        times: list[tuple[float, str]] = []
        so_far = ""
        for word in line:
            so_far = f"{so_far} {word.text}".strip()
            times.append((word.start, so_far if rng.random() < 0.7 or len(word.text) < 4 else so_far[:-2]))
        times[-1] = (times[-1][0], so_far)
        for number, (begins, shown_text) in enumerate(times):
            ends = times[number + 1][0] if number + 1 < len(times) else end
            cues.append((begins, ends, "\n".join([*map(text, above), shown_text])))
        assert start == times[0][0]
    return cues


def youtube(lines: list[Line], rng: random.Random) -> list[tuple[float, float, str]]:
    """Two rows, the lower one with times of its words; for ten milliseconds the upper one alone."""
    cues = []
    above = " "
    for number, line in enumerate(lines):
        behind = lines[number + 1][0].start if number + 1 < len(lines) else line[-1].end + 5
        timed = escape(line[0].text)
        timed += "".join(f"<{clock(word.start)}><c> {escape(word.text)}</c>" for word in line[1:])
        cues.append((line[0].start, behind - 0.01, f"{above}\n{timed}"))
        cues.append((behind - 0.01, behind, f"{escape(text(line))}\n "))
        above = escape(text(line))
        if behind - line[-1].end > 6:
            above = " "
    return cues


def pop_on(lines: list[Line], rng: random.Random) -> list[tuple[float, float, str]]:
    """One or two lines at a time, a little longer than they are said."""
    cues, number = [], 0
    while number < len(lines):
        count = rng.choice([1, 1, 2])
        block = lines[number : number + count]
        number += len(block)
        behind = lines[number][0].start if number < len(lines) else block[-1][-1].end + 5
        end = min(block[-1][-1].end + rng.uniform(0, 1.0), behind)
        cues.append((block[0][0].start, end, "\n".join(map(text, block))))
    return cues


def json3(lines: list[Line]) -> str:
    events: list[dict[str, object]] = [{"tStartMs": 0, "dDurationMs": 10**7, "id": 1, "wpWinPosId": 1}]
    for number, line in enumerate(lines):
        start = round(line[0].start * 1000)
        behind = lines[number + 1][-1].end if number + 1 < len(lines) else line[-1].end + 4
        segs: list[dict[str, object]] = [{"utf8": line[0].text, "acAsrConf": 0}]
        segs += [
            {"utf8": f" {word.text}", "tOffsetMs": round(word.start * 1000) - start, "acAsrConf": 0}
            for word in line[1:]
        ]
        events.append(
            {"tStartMs": start, "dDurationMs": round(behind * 1000) - start, "wWinId": 1, "segs": segs}
        )
        events.append(
            {"tStartMs": start + 900, "dDurationMs": 10, "wWinId": 1, "aAppend": 1, "segs": [{"utf8": "\n"}]}
        )
    return json.dumps({"wireMagic": "pb3", "events": events})


def srv3(lines: list[Line]) -> str:
    body = ""
    for number, line in enumerate(lines):
        start = round(line[0].start * 1000)
        behind = lines[number + 1][-1].end if number + 1 < len(lines) else line[-1].end + 4
        words = f'<s ac="0">{escape(line[0].text)}</s>'
        words += "".join(
            f'<s t="{round(word.start * 1000) - start}"> {escape(word.text)}</s>' for word in line[1:]
        )
        body += f'<p t="{start}" d="{round(behind * 1000) - start}" w="1">{words}</p>\n'
        body += f'<p t="{start + 900}" d="10" w="1" a="1">\n</p>\n'
    return f'<?xml version="1.0"?><timedtext format="3">\n<head/><body>\n{body}</body>\n</timedtext>\n'


def srv1(lines: list[Line]) -> str:
    body = ""
    for number, line in enumerate(lines):
        behind = lines[number + 1][-1].end if number + 1 < len(lines) else line[-1].end + 4
        shown = escape(escape(text(line)))
        body += f'<text start="{line[0].start}" dur="{behind - line[0].start:.3f}">{shown}</text>'
    return f'<?xml version="1.0" encoding="utf-8" ?><transcript>{body}</transcript>'


def ttml(cues: list[tuple[float, float, str]], rng: random.Random) -> str:
    """Paragraphs in one of the ways in which TTML counts time, some within a div that begins later."""
    forms: list[tuple[str, Callable[[float], str]]] = [
        ("", clock),
        ("", lambda s: f"{s:.3f}s"),
        ("", lambda s: f"{s * 1000:.0f}ms"),
        ("", lambda s: f"{s / 60:.6f}m"),
        ('ttp:tickRate="10000000"', lambda s: f"{round(s * 1e7)}t"),
        ('ttp:frameRate="25"', lambda s: f"{round(s * 25)}f"),
        ('ttp:frameRate="30" ttp:frameRateMultiplier="1000 1001"', lambda s: f"{round(s * 30000 / 1001)}f"),
        ('ttp:frameRate="25"', lambda s: f"{clock(s)[:8]}:{int(s * 1000 + 0.5) % 1000 // 40:02d}"),
    ]
    attributes, form = rng.choice(forms)
    namespace = "http://www.w3.org/" + rng.choice(["ns/ttml", "2006/10/ttaf1", "2006/04/ttaf1"])
    offset = rng.choice([0.0, 0.0, min(start for start, _, _ in cues) // 1])
    div = f'<div begin="{form(offset)}">' if offset else "<div>"
    paragraphs = ""
    for start, end, shown in cues:
        rows = escape(shown).replace("\n", rng.choice(["<br/>", "<br />\n      "]))
        until = rng.choice([f'end="{form(end - offset)}"', f'dur="{form(end - start)}"'])
        rows = rng.choice([rows, f'<span tts:color="white">{rows}</span>'])
        paragraphs += f'  <p begin="{form(start - offset)}" {until}>{rows}</p>\n'
    names = f'xmlns="{namespace}" xmlns:ttp="{namespace}#parameter" xmlns:tts="{namespace}#styling"'
    head = f'<?xml version="1.0" encoding="UTF-8"?>\n<tt {names} xml:lang="en" {attributes}>\n<head/>'
    return f"{head}<body>{div}\n{paragraphs}</div></body></tt>"


def ttml_words(lines: list[Line]) -> str:
    """Each word a span with its time, counted from the paragraph."""
    body = ""
    for line in lines:
        first = line[0].start
        spans = " ".join(
            f'<span begin="{word.start - first:.2f}s" dur="{word.end - word.start:.2f}s">'
            f"{escape(word.text)}</span>"
            for word in line
        )
        body += f'<p begin="{first:.2f}s" end="{line[-1].end + 3:.2f}s">{spans}</p>'
    return f'<tt xmlns="http://www.w3.org/ns/ttml"><body><div>{body}</div></body></tt>'


def verbose_json(lines: list[Line], rng: random.Random) -> str:
    """OpenAI's, WhisperX's and whisper's forms of the same."""
    words = [{"word": word.text, "start": word.start, "end": word.end} for line in lines for word in line]
    segments = [
        {"id": number, "start": line[0].start, "end": line[-1].end, "text": f" {text(line)}"}
        for number, line in enumerate(lines)
    ]
    whole = {
        "task": "transcribe",
        "language": "english",
        "duration": 99.0,
        "text": " ".join(map(text, lines)),
    }
    scored = [
        [{"word": each.text, "start": each.start, "end": each.end, "score": 0.5} for each in line]
        for line in lines
    ]
    inner = [{**segment, "words": each} for segment, each in zip(segments, scored, strict=True)]
    return json.dumps(
        rng.choice(
            [
                {**whole, "words": words, "segments": segments},
                {**whole, "words": words},
                {**whole, "words": words, "segments": None},
                {**whole, "words": words, "segments": []},
                {"words": words},
                {"segments": inner, "word_segments": words, "language": "en"},
                {"segments": inner},
            ]
        )
    )


def scc(lines: list[Line], num_rows: int) -> str:
    """CEA-608 in roll-up mode, as Scenarist writes it, for ffmpeg to decode."""
    mode = {2: "9425 9425", 3: "9426 9426", 4: "94a7 94a7"}[num_rows]
    written = ["Scenarist_SCC V1.0\n"]
    for line in lines:
        said = text(line)
        codes = " ".join(_pair(said[at : at + 2]) for at in range(0, len(said), 2))
        written.append(f"{_time_code(line[0].start)}\t{mode} 94ad 94ad 9470 9470 {codes}\n")
    written.append(f"{_time_code(lines[-1][-1].end + 5)}\t942c 942c\n")
    return "\n".join(written)


def _pair(letters: str) -> str:
    codes = [ord(letter) for letter in letters.ljust(2, "\0")]
    return "".join(f"{code | (0 if code.bit_count() % 2 else 0x80):02x}" for code in codes)


def _time_code(seconds: float) -> str:
    frames = round(seconds * 30)
    return f"{frames // 108000:02d}:{frames // 1800 % 60:02d}:{frames // 30 % 60:02d}:{frames % 30:02d}"
