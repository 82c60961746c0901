import json

import numpy as np
import pytest

from svlm_cli.arena.address import parse_address
from svlm_cli.arena.export import file_name, write_truth, write_video
from svlm_cli.arena.source import ArenaSource
from svlm_cli.arena.truth import truth
from svlm_cli.errors import UsageError

ADDRESS = parse_address("arena:soccer?seed=3&minutes=0.2&size=168x112")


def test_the_video_shows_what_a_stream_sees(tmp_path):
    av = pytest.importorskip("av")
    path = tmp_path / "match.mp4"
    write_video(ADDRESS, path)
    with av.open(str(path)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
        times = [round(float(packet.pts * packet.time_base), 4) for packet in _packets(av, path)]
    expected = list(ArenaSource(ADDRESS).frames())
    assert len(frames) == len(expected) == 288
    assert sorted(times)[:3] == [0.0, 0.0417, 0.0833]
    for frame, drawn in list(zip(frames, expected, strict=True))[::48]:
        difference = np.abs(frame.astype(int) - drawn)
        assert difference.mean() < 5
        # Colours survive where they are flat: grass, and the inside of a disc.
        assert np.median(difference) <= 3


def _packets(av, path):
    with av.open(str(path)) as container:
        return [packet for packet in container.demux(video=0) if packet.pts is not None]


def test_truth_as_json(tmp_path):
    write_truth(ADDRESS, tmp_path / "truth.json")
    document = json.loads((tmp_path / "truth.json").read_text())
    records = list(truth(ADDRESS))
    assert [second["line"] for second in document["seconds"]] == [record.line for record in records]
    assert document["opening_text"] == ArenaSource(ADDRESS).opening_text()


def test_what_cannot_be_written_is_a_usage_error(tmp_path):
    for address in ("arena:soccer?minutes=inf", "arena:soccer?minutes=1e308", "arena:soccer?size=169x112"):
        with pytest.raises(UsageError):
            write_video(parse_address(address), tmp_path / "match.mp4")


def test_two_matches_have_two_names():
    addresses = [
        "arena:soccer?seed=1&minutes=0.1",
        "arena:soccer?seed=1&minutes=0.1000001",
        "arena:soccer?seed=1&minutes=1234567",
        "arena:soccer?seed=1&minutes=1234568",
        "arena:soccer?seed=1&minutes=0.1&fps=29.97",
        "arena:soccer?seed=1&minutes=0.1&size=168x112",
    ]
    assert len({file_name(parse_address(address)) for address in addresses}) == len(addresses)
    assert all(str(parse_address(address)) == address for address in addresses)
    assert file_name(parse_address("arena:soccer?seed=1&minutes=10")) == "arena-soccer-1-10min-24fps-504x336"


def test_a_video_ends_where_its_watcher_says(tmp_path):
    sizes = []

    def watch(num_bytes):
        sizes.append(num_bytes)
        if len(sizes) == 3:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        write_video(ADDRESS, tmp_path / "match.mp4", on_second=watch)
    assert sizes == sorted(sizes)
