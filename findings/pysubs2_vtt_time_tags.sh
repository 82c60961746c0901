#!/usr/bin/env bash
# pysubs2 1.8.1: a line of WebVTT with two time tags is lost, and comments and names of cues are read as what is said.
#
# Cue text may hold the times of its words (WebVTT, cue timestamps); YouTube's automatic captions do. pysubs2 takes every
# line with exactly two times for one that begins a caption: its words are gone, and an empty caption stands at the
# times of two of them. With one time or three the words stay, the times among them. As it reads on to the next such line
# and not to the blank one that ends a cue, a comment (NOTE) and the name of the next cue are added to the words
# before them, and a last row that is a number alone ("the year" / "1984") is cut off as if it numbered the next cue.
# The documentation names WebVTT among the supported formats, and nothing is said while a file is read.
#
# Seen: "one time: 'so<00:01.300> good', two times: '', three times: 'to<00:03.200> our<00:03.500> big<00:03.800> final'",
#       "'It is over' read as 'It is over|NOTE is that so?|second half', 'the year|1984' as 'the year'".
# Fails if that changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q pysubs2==1.8.1
"$folder/venv/bin/python" - <<'PY'
import re
import sys

import pysubs2


def read(*blocks: str) -> list[str]:
    """Texts of the captions that begin at whole seconds, as a file of these blocks gives them."""
    file = pysubs2.SSAFile.from_string("\n\n".join(["WEBVTT", *blocks]) + "\n")
    texts = [(each.start, re.sub(r"(\\N)+", "|", each.text)) for each in file]
    return [text for start, text in texts if start % 1000 == 0]


one, two, three = read(
    "00:01.000 --> 00:02.000\nso<00:01.300><c> good</c>",
    "00:02.000 --> 00:03.000\nand<00:02.300><c> welcome</c><00:02.600><c> back</c>",
    "00:03.000 --> 00:04.000\nto<00:03.200><c> our</c><00:03.500><c> big</c><00:03.800><c> final</c>",
)
print(f"one time: {one!r}, two times: {two!r}, three times: {three!r}")
over, year = read(
    "00:01.000 --> 00:02.000\nIt is over",
    "NOTE is that so?",
    "second half\n00:03.000 --> 00:04.000\nthe year\n1984",
)
print(f"'It is over' read as {over!r}, 'the year|1984' as {year!r}")
is_lost = (one, two, three) == ("so<00:01.300> good", "", "to<00:03.200> our<00:03.500> big<00:03.800> final")
sys.exit(0 if is_lost and (over, year) == ("It is over|NOTE is that so?|second half", "the year") else 1)
PY
