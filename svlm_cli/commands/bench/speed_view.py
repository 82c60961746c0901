"""What ``svlm bench fps`` shows while it runs: a progress bar on a terminal, a line per run elsewhere."""

from __future__ import annotations

from svlm_cli.bench.common.events import WorkProgress
from svlm_cli.bench.speed.fps import SpeedEvent, SpeedStart
from svlm_cli.bench.speed.measure import SpeedRun, Trial
from svlm_cli.bench.speed.streams import StreamsEvent, StreamsStart
from svlm_cli.bench.speed.streams_report import StreamsRun
from svlm_cli.commands.bench.view import WorkView
from svlm_cli.types import WarningEvent


class SpeedView(WorkView):
    """Shows the measuring of speed, of one stream or of several at once: a bar of steps, a line per run."""

    unit = "runs"

    def show(self, event: SpeedEvent | StreamsEvent) -> None:
        """Show one event."""
        match event:
            case SpeedStart() | StreamsStart():
                model = event.model
                title = f"{model.name} on {model.device} ({model.dtype})"
                self._begin(title, event.num_done, event.num_runs, event.num_steps)
            case WarningEvent():
                self.warn(event.message)
            case WorkProgress():
                self._bar.advance(self._task, event.num_seconds)
            case SpeedRun():
                pace = len(event.num_words) * event.step_seconds / event.wall_seconds
                told = f"{event.name}, {event.fps:g} FPS: {len(event.num_words)} steps"
                self._one_more(f"{told}, {pace:.2f}x real time")
            case StreamsRun():
                told = f"{event.streams} streams: step p95 {event.step_p95_seconds:.3f} s"
                self._one_more(f"{told}, {event.ratio_to_one:.3f} of the CPU time of one alone")
            case Trial():
                verdict = "in time" if event.is_real_time else "too slow"
                self._say(f"{event.fps:g} FPS: step p95 {event.p95_step_seconds:.3f} s, {verdict}")
