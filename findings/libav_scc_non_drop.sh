#!/usr/bin/env bash
# PyAV 18.1.0 (FFmpeg 8.1.2): captions of SCC with non-drop timecode come 3.6 s early for each hour.
#
# SCC counts frames of NTSC video, 30000/1001 a second. Drop-frame timecode, written with a semicolon (01:00:04;00), skips
# numbers so that it stays with the clock; non-drop timecode, written with a colon (01:00:04:00), does not, and an hour
# of it lasts 3603.6 s (SMPTE ST 12-1). libav reads both as hours, minutes and seconds of the clock, as if the sign meant
# nothing. pycaption 2.3.14 reads the same files as they are meant.
#
# Seen: "caption that is taken away at 01:00:04;00: libav 3604.0 s, pycaption 3604.0 s",
#       "caption that is taken away at 01:00:04:00: libav 3604.0 s, pycaption 3607.6 s". Fails if that changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q av==18.1.0 numpy==2.4.6 pycaption==2.3.14
"$folder/venv/bin/python" - "$folder" <<'PY'
import sys
from pathlib import Path

import av
import pycaption

path = Path(sys.argv[1]) / "captions.scc"
words = "94ae 94ae 9420 9420 9470 9470 c845 4c4c 4f80 942f 942f"  # HELLO, loaded and shown
found = {}
for sign in ";:":
    text = f"Scenarist_SCC V1.0\n\n01:00:00{sign}00\t{words}\n\n01:00:04{sign}00\t942c 942c\n\n"  # 942c: taken away
    path.write_text(text)
    with av.open(str(path)) as container:
        last = [packet.pts * packet.time_base for packet in container.demux() if packet.size][-1]
    (caption,) = pycaption.SCCReader().read(text).get_captions("en-US")
    found[sign] = round(float(last), 1), round(caption.end / 1e6, 1)
    print(f"caption that is taken away at 01:00:04{sign}00: libav {found[sign][0]} s, pycaption {found[sign][1]} s")
sys.exit(0 if found == {";": (3604.0, 3604.0), ":": (3604.0, 3607.6)} else 1)
PY
