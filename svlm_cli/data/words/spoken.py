"""What captions say, each word once and at its time.

Captions that roll show a line again and again while it moves up (CEA-608 in two to four rows, YouTube's two),
captions that are painted show it again as it grows. Both are told from lines that are said twice by what the
captions around them do. Many captions stay until the next one comes, whether anybody speaks or not: there a
word is no longer than words are.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, chain, groupby, pairwise

from svlm_cli.data.words.cues import NEAR_SECONDS, CaptionWord, Cue
from svlm_cli.data.words.transcript import TimedWord, Utterance

LONGEST_WORD_SECONDS = 1.0
"""Of a word in a text that is spread over a span of time."""
# How long a word takes of which only the beginning is known: so much, and so much for each letter. A digit
# is read as a word.
_WORD_SECONDS, _LETTER_SECONDS, _LETTERS_OF_A_DIGIT = 0.15, 0.06, 4
_FLASH_SECONDS = 0.05
# Captions roll where of the cues around, so many before and behind, more show lines of the cue before than do
# not; one that comes after a pause hardly tells, one in which a line has grown tells more.
_AROUND = 10
_RESTART_WEIGHT, _GROWN_WEIGHT = 0.25, 2.0
_PAINTED_SECONDS = 0.8  # Letters that are painted come sooner; captions that are read stay longer.
_MOST_ROWS = 15  # of a screen of CEA-608
_LONGEST_GAP_SECONDS = 30.0


def spoken(cues: Sequence[Cue]) -> list[Utterance]:
    """The words of captions in the order of their cues' times; cues that say nothing new give none."""
    cues = _merged(sorted(cues, key=lambda cue: cue.start_seconds))
    is_crowded = _is_crowded(cues)
    found: list[list[TimedWord]] = []
    for cue, behind, change in zip(cues, _next_starts(cues), _changes(cues), strict=True):
        old = change.num_old_rows
        words = [word for row in cue.rows[old:] for word in row]
        if change.num_old_words is not None:
            row = cue.rows[old - 1]
            words = [*row[change.num_old_words :], *words]
            if found:  # what was shown last may have been half a word
                last = found[-1][-1]
                text = row[change.num_old_words - 1].text
                found[-1][-1] = TimedWord(text, last.start_seconds, last.end_seconds)
        end = behind if cue.is_open else min(cue.end_seconds, behind) if is_crowded else cue.end_seconds
        lingers = change.is_rolling or is_crowded or cue.is_open
        placed = place(words, cue.start_seconds, end, lingers=lingers)
        found += [list(placed)] if placed else []
    return [tuple(words) for words in found]


def place(words: Sequence[CaptionWord], start: float, end: float, *, lingers: bool) -> Utterance:
    """Words over a span of time: those whose times are told there, the others evenly between them.

    Args:
        words: the words, in order.
        start, end: seconds of the span.
        lingers: the span does not end when the last word does.
    """
    is_timed = any(word.start_seconds is not None for word in words)
    starts = [number for number, word in enumerate(words) if number == 0 or word.start_seconds is not None]
    placed: list[TimedWord] = []
    time = start
    for first, behind in pairwise([*starts, len(words)]):
        told = words[first].start_seconds
        time = time if told is None else min(max(time, told), max(start, end))
        follower = words[behind].start_seconds if behind < len(words) else None
        limit = max(time, min(end, end if follower is None else follower))
        run = words[first:behind]
        ends = run[-1].end_seconds
        if ends is not None:
            limit = max(time, min(limit, ends))
        elif is_timed or lingers:
            limit = min(limit, time + sum(_seconds_of(word.text) for word in run))
        else:
            limit = min(limit, time + LONGEST_WORD_SECONDS * len(run))
        step = (limit - time) / len(run)
        placed += [
            TimedWord(word.text, time + number * step, time + (number + 1) * step)
            for number, word in enumerate(run)
        ]
        time = limit
    return tuple(placed)


def spread(text: str, start: float, end: float) -> Utterance:
    """The words of a text evenly over a span of time, none longer than a second; may be empty."""
    return place([CaptionWord(word) for word in text.split()], start, end, lingers=False)


def _seconds_of(word: str) -> float:
    letters = sum(_LETTERS_OF_A_DIGIT if letter.isdigit() else letter.isalpha() for letter in word)
    return _WORD_SECONDS + _LETTER_SECONDS * letters


@dataclass(frozen=True, slots=True)
class _Change:
    """What a cue shows of the cue before it.

    Args:
        num_old_rows: how many rows were shown before, counted from above.
        num_old_words: the number of words of the last of them, where it has grown; else None.
        is_rolling: the captions roll here.
    """

    num_old_rows: int = 0
    num_old_words: int | None = None
    is_rolling: bool = False


@dataclass(frozen=True, slots=True)
class _Overlap:
    """How the rows of a cue can be read as those of the cue before it, moved up.

    Args:
        num_rows: how many rows are the last ones of the cue before; 0 for none.
        num_grown: the same, where the last of them may have grown.
        num_words: the number of words of the last row of the cue before.
        is_same: the two show the same.
        is_blank: the same, and there is a blank more: letters are painted, and this was the next one.
        is_new: there is something new in it, or had to be in the one before.
        is_flash: one of the two is too short to be read, as between two captions of YouTube.
        is_restart: a line alone, after a pause.
        is_slow: it has grown later than it is painted or said: captions that begin alike may pop on.
    """

    num_rows: int = 0
    num_grown: int = 0
    num_words: int = 0
    is_same: bool = False
    is_blank: bool = False
    is_new: bool = False
    is_flash: bool = False
    is_restart: bool = False
    is_slow: bool = False


def _merged(cues: Sequence[Cue]) -> list[Cue]:
    """Cues of the very same times are one; one that stands there twice, as where HLS was cut, stands once."""
    found: list[Cue] = []
    for (start, end), same in groupby(cues, key=lambda cue: (cue.start_seconds, cue.end_seconds)):
        each = {cue.lines: cue for cue in same if cue.rows}
        rows = tuple(chain.from_iterable(cue.rows for cue in each.values()))
        is_anew = all(cue.is_anew for cue in each.values())
        text = "\n".join(cue.text for cue in each.values())
        found += [Cue(start, end, rows, is_anew, text)] if rows else []
    return found


def _next_starts(cues: Sequence[Cue]) -> list[float]:
    """For each cue when the next begins that does not begin with it."""
    starts: list[float] = []
    behind = start = math.inf
    for cue in reversed(cues):
        if cue.start_seconds < start:
            behind, start = start, cue.start_seconds
        starts.append(behind)
    return starts[::-1]


def _is_crowded(cues: Sequence[Cue]) -> bool:
    """Whether captions stay while the next ones are shown, rather than until they have been said."""
    pairs = list(pairwise(cues))
    over = sum(
        each.start_seconds < next_.start_seconds < each.end_seconds - _FLASH_SECONDS for each, next_ in pairs
    )
    return 2 * over > len(pairs)


def _changes(cues: Sequence[Cue]) -> list[_Change]:
    """What each cue shows of the one before it, by what most cues around it do."""
    overlaps = [_Overlap(), *(_overlap(shown, cue) for shown, cue in pairwise(cues))]
    tells = [each.is_new and not each.is_slow for each in overlaps]
    rolled = [float(is_sure and each.num_grown > 0) for is_sure, each in zip(tells, overlaps, strict=True)]
    grown = [
        float(is_sure and each.num_grown > each.num_rows == 0)
        for is_sure, each in zip(tells, overlaps, strict=True)
    ]
    fresh = [
        _RESTART_WEIGHT if each.is_restart else float(each.num_grown == 0 or each.is_slow)
        for each in overlaps
    ]
    sums = [list(accumulate(each[1:], initial=0.0)) for each in (rolled, grown, fresh)]
    changes, has_grown = [], False
    for number, (cue, each) in enumerate(zip(cues, overlaps, strict=True)):
        first = max(0, min(number - _AROUND, len(cues) - 1 - 2 * _AROUND))
        behind = min(len(cues) - 1, first + 2 * _AROUND)
        num_rolled, num_grown, num_fresh = (total[behind] - total[first] for total in sums)
        is_rolling = num_rolled > 0 and num_rolled + _GROWN_WEIGHT * num_grown >= num_fresh
        # A row that was seen to grow is painted: said again, it would grow again.
        has_grown = each.num_grown > each.num_rows or (has_grown and each.is_same)
        is_painted = 4 * num_grown >= num_rolled
        changes.append(_change(cue, each, is_rolling=is_rolling, is_painted=is_painted, has_grown=has_grown))
    return changes


def _change(cue: Cue, overlap: _Overlap, *, is_rolling: bool, is_painted: bool, has_grown: bool) -> _Change:
    is_rolling = is_rolling or (overlap.is_flash and overlap.num_rows > 0)
    if not is_rolling:
        return _Change()
    if overlap.is_same:
        rows = cue.lines
        # A line that has filled the screen is said again; painted, it would have been seen to grow.
        may_grow = has_grown or overlap.is_blank
        may_be = len(rows[-1]) == 1 and not may_grow if is_painted else len(rows) > 1
        is_said_again = may_be and len(set(rows)) == 1 and not overlap.is_flash
        return _Change(len(rows) - is_said_again, None, is_rolling=True)
    if is_painted and overlap.num_grown > overlap.num_rows:
        return _Change(overlap.num_grown, overlap.num_words, is_rolling=True)
    return _Change(overlap.num_rows, None, is_rolling=True)


def _overlap(shown: Cue, cue: Cue) -> _Overlap:
    before, now = shown.lines, cue.lines
    gap = 0.0 if shown.is_open else cue.start_seconds - shown.end_seconds
    is_flash = any(0 < each.end_seconds - each.start_seconds < _FLASH_SECONDS for each in (shown, cue))
    # A line alone, after a pause, is said anew; lines that are there after a pause have stayed.
    is_restart = len(now) == 1 and gap > NEAR_SECONDS
    if cue.is_anew or is_restart or len(before) > _MOST_ROWS or gap > _LONGEST_GAP_SECONDS:
        return _Overlap(is_restart=is_restart)
    num_rows = num_grown = 0
    for number in range(1, min(len(before), len(now)) + 1):
        if before[-number:-1] == now[: number - 1]:
            is_there = before[-1] == now[number - 1]
            num_rows = number if is_there else num_rows
            num_grown = number if is_there or _grows(before[-1], now[number - 1]) else num_grown
    is_new = is_flash or num_rows < len(now)
    is_same = before == now
    is_blank = is_same and cue.text != shown.text and cue.text.startswith(shown.text)
    is_slow = False
    if num_grown > num_rows == 0:
        added = [*now[num_grown - 1][len(before[-1]) - 1 :], *chain.from_iterable(now[num_grown:])]
        longest = max(_PAINTED_SECONDS, 1.25 * sum(_seconds_of(word) for word in added))
        is_slow = cue.start_seconds - shown.start_seconds > longest
    return _Overlap(
        num_rows, num_grown, len(before[-1]), is_same, is_blank, is_new, is_flash, is_slow=is_slow
    )


def _grows(row: Sequence[str], longer: Sequence[str]) -> bool:
    """Whether a row is the beginning of another, the last word maybe in part."""
    last = len(row) - 1
    return (
        row != longer
        and len(longer) > last
        and row[:last] == longer[:last]
        and longer[last].startswith(row[last])
    )
