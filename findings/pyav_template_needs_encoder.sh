#!/usr/bin/env bash
# PyAV 18.1.0: add_stream_from_template() refuses to copy packets of a video codec that it has no encoder for.
#
# Copying packets needs no encoder. For video the method makes the codec of the new stream anew, by its name and for
# writing, which raises UnknownCodecError where the build only decodes it (Theora, VC-1, RealVideo ...): remuxing such a
# file fails with the bare name of the codec as its message. With opaque=True, the default for all other kinds of stream,
# it copies the template's codec context instead, and the copy is whole.
#
# Seen: "UnknownCodecError: vp6; with opaque=True 25 of 25 packets" (Linux x86-64).
# Fails if that changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q av==18.1.0
"$folder/venv/bin/python" - "$folder" <<'PY'
import sys
from fractions import Fraction
from pathlib import Path

import av
from av.codec.codec import UnknownCodecError

folder = Path(sys.argv[1])
source = folder / "source.avi"
with av.open(str(source), "w") as out:
    stream = out.add_stream("mjpeg", rate=25)
    stream.width, stream.height, stream.pix_fmt = 64, 48, "yuvj420p"
    for number in range(25):
        frame = av.VideoFrame(64, 48, "yuvj420p")
        frame.pts, frame.time_base = number, Fraction(1, 25)
        out.mux(stream.encode(frame))
    out.mux(stream.encode(None))
# The same packets under the name of a codec that is decoded only: what they hold does not matter to a copy.
source.write_bytes(source.read_bytes().replace(b"MJPG", b"VP62"))


def copied(**options: bool) -> int:
    with av.open(str(source)) as reading, av.open(str(folder / "copy.avi"), "w") as writing:
        copy = writing.add_stream_from_template(reading.streams.video[0], **options)
        for packet in reading.demux(video=0):
            if packet.size:
                packet.stream = copy
                writing.mux(packet)
    with av.open(str(folder / "copy.avi")) as container:
        return sum(1 for packet in container.demux(video=0) if packet.size)


try:
    told = str(copied())
except UnknownCodecError as error:
    told = f"UnknownCodecError: {error}"
count = copied(opaque=True)
print(f"{told}; with opaque=True {count} of 25 packets")
sys.exit(0 if (told, count) == ("UnknownCodecError: vp6", 25) else 1)
PY
