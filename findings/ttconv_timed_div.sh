#!/usr/bin/env bash
# ttconv 1.2.3: paragraphs of a TTML div that begins later are lost without a word.
#
# Times within a div are counted from where the div begins (TTML2 12.4); ttconv prunes the div as if it ended before it
# began, because it takes the end of its children for a time of the body. A time that it does not know (00:00:03,500)
# becomes second 0, told to a logger only. svlm reads TTML itself (svlm_cli/data/words/timed_xml.py).
#
# Seen: "plain div: 2 texts, div with begin=10s: 0 texts". Fails if that changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q ttconv==1.2.3
"$folder/venv/bin/python" - <<'PY'
import sys
from xml.etree import ElementTree

from ttconv.imsc import reader
from ttconv.model import Text


def texts(attribute: str) -> int:
    """Texts that are left of two paragraphs in a div with this attribute."""
    body = '<p begin="1s" end="2s">one</p><p begin="3s" end="4s">two</p>'
    tt = f'<tt xmlns="http://www.w3.org/ns/ttml" xml:lang="en"><body><div {attribute}>{body}</div></body></tt>'
    found = reader.to_model(ElementTree.ElementTree(ElementTree.fromstring(tt))).get_body()
    return sum(isinstance(each, Text) for each in found.dfs_iterator())


plain, later = texts(""), texts('begin="10s"')
print(f"plain div: {plain} texts, div with begin=10s: {later} texts")
sys.exit(0 if (plain, later) == (2, 0) else 1)
PY
