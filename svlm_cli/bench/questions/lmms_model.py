"""The class that lmms-eval loads: its contract for simple models over ways to show a video.

Contract: ``lmms_eval.api.model.lmms`` of lmms-eval 0.7: ``generate_until``, ``loglikelihood`` and
``generate_until_multi_round`` over lists of instances, whose ``args`` are
``(context, gen_kwargs or target, doc_to_visual, [doc_to_text,] doc_id, task, split)``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
from lmms_eval.api.model import lmms
from PIL import Image

from svlm_cli.bench.common.model import ModelOptions
from svlm_cli.bench.questions.asking import ModelAsker, Question, Showing, Way, frame_times, frames_per_second
from svlm_cli.bench.questions.plain import PlainPrompt
from svlm_cli.errors import SourceError, UsageError, boundary
from svlm_cli.media.file.reader import open_video
from svlm_cli.settings import Deinterlace, PictureStyle, Policy, Reader, StreamSettings

MAX_NEW_TOKENS = 128

_MODEL = ("device", "dtype", "attention", "threads", "adapter", "quantize")
_STREAM: Mapping[str, Callable[[Any], Any]] = {
    "fps": float,
    "step_seconds": float,
    "policy": Policy,
    "sink": int,
    "text_window": int,
    "vision_window": float,
    "rounds": int,
    "min_pixels": int,
    "max_pixels": int,
    "pictures": PictureStyle,
    "deinterlace": Deinterlace,
    "reader": Reader,
}
_CHOICES = {"policy": Policy, "pictures": PictureStyle, "deinterlace": Deinterlace, "reader": Reader}


class Svlm(lmms):  # type: ignore[misc]
    """A checkpoint of svlm; one process, one question at a time, the best tokens.

    Args:
        pretrained: Hugging Face id or folder; empty for ``$SVLM_MODEL``, else the bundled model.
        show: ``whole``: frames spread over the video, in one prompt; ``streamed``: watched in silence from
            its beginning, and asked at its end; ``recent``: its last frames.
        fps: frames per second.
        max_frames: at most, of *whole* and *recent*.
        batch_size, max_batch_size: 1; lmms-eval passes them.
        given: ``step_seconds``, ``policy``, ``sink``, ``text_window``, ``vision_window`` and ``rounds`` of
            the stream; ``min_pixels`` and ``max_pixels`` per frame; ``pictures``, ``deinterlace`` and
            ``reader`` of the video; ``device``, ``dtype``, ``attention``,
            ``threads``, ``adapter`` and ``quantize``: see ``load_model``.

    Raises:
        UsageError: an argument that is not one of these values.
        ModelError: the model cannot be opened.
    """

    is_simple = True

    def __init__(
        self,
        pretrained: str = "",
        show: str = "whole",
        max_frames: int = 64,
        batch_size: int | str = 1,
        max_batch_size: int | str | None = None,  # noqa: ARG002 - lmms-eval passes it
        **given: Any,
    ) -> None:
        super().__init__()
        if str(batch_size) != "1":
            raise UsageError(f"svlm answers one question at a time: --batch_size must be 1, not {batch_size}")
        _check(show, given)
        of_stream = {name: kind(given[name]) for name, kind in _STREAM.items() if given.get(name) is not None}
        settings = StreamSettings(query="", **{"fps": 1.0, "step_seconds": 2.0, **of_stream})
        of_model = {name: given[name] for name in _MODEL if given.get(name) is not None}
        self._model = ModelOptions(pretrained or None, **{"threads": None, **of_model}).load()
        self._way = Way(Showing(show), settings, int(max_frames))
        self._plain = PlainPrompt(self._model, settings)

    def generate_until(self, requests: Sequence[Any]) -> list[str]:
        """Answers, cut at the first stop text.

        Raises:
            SourceError: a video cannot be read, or there is none.
        """
        answers = []
        for request in requests:
            context, wanted, doc_to_visual, doc_id, task, split = request.args
            visuals = _flat(doc_to_visual(self.task_dict[task][split][doc_id]))
            answer = self._answer(visuals, context, wanted)
            self.cache_hook.add_partial("generate_until", (context, wanted), answer)
            answers.append(answer)
        return answers

    def generate_until_multi_round(self, requests: Sequence[Any]) -> list[tuple[str, ...]]:
        """All answers of documents that ask again and again, as many rounds as each has."""
        results = []
        for request in requests:
            context, wanted, doc_to_visual, doc_to_text, doc_id, task, split = request.args
            document = self.task_dict[task][split][doc_id]
            results.append(self._rounds(document, context, wanted, doc_to_visual, doc_to_text))
            self.cache_hook.add_partial("generate_until_multi_round", (context, wanted), results[-1])
        return results

    def loglikelihood(self, requests: Sequence[Any]) -> list[tuple[float, bool]]:
        """Log-probability of each target, and whether it is what greedy decoding says.

        The video is shown in one prompt, whatever ``show`` is: streaming has no likelihood of its own.
        """
        results = []
        for request in requests:
            context, target, doc_to_visual, doc_id, task, split = request.args
            document = self.task_dict[task][split][doc_id]
            text = target(document) if callable(target) else str(target)
            frames, fps = self._frames(_flat(doc_to_visual(document)))
            video = self._plain.look(frames)
            results.append(self._plain.log_likelihood(video, fps, _question(context), text))
        return results

    def _rounds(
        self,
        document: Any,
        context: str,
        wanted: dict[str, Any],
        doc_to_visual: Callable[[Any], Any],
        doc_to_text: Callable[..., Any],
    ) -> tuple[str, ...]:
        visuals, said, told = _flat(doc_to_visual(document)), [], None
        while True:
            said.append(self._answer(visuals, context, wanted))
            visuals, context, is_over, said, told = doc_to_text(
                document, previous_output=said, round_idx=len(said), previous_round_info=told
            )
            said, visuals = list(said), _flat(visuals)
            if is_over:
                return tuple(said)

    def _answer(self, visuals: list[Any], context: str, wanted: dict[str, Any]) -> str:
        most = int(wanted.get("max_new_tokens", MAX_NEW_TOKENS))
        if self._way.showing is Showing.STREAMED and len(visuals) == 1 and isinstance(visuals[0], str | Path):
            asker = ModelAsker(self._model, self._way, most)
            question = Question("", 0.0, math.inf, _question(context))
            ((_, answer),) = asker.answers(Path(visuals[0]), [question])
        else:
            frames, fps = self._frames(visuals)
            answer = self._plain.reply(self._plain.look(frames), fps, _question(context), most)
        stops = wanted.get("until") or []
        for stop in [stops] if isinstance(stops, str) else stops:
            if stop:
                answer = answer.split(stop)[0]
        return answer.strip()

    def _frames(self, visuals: list[Any]) -> tuple[np.ndarray, float]:
        """Frames of a video file, or pictures as frames, and the frames per second they stand for."""
        if len(visuals) == 1 and isinstance(visuals[0], str | Path):
            way = self._way
            if way.showing is Showing.STREAMED:
                way = Way(Showing.WHOLE, way.settings, way.num_frames)
            with open_video(visuals[0], viewing=way.settings.viewing) as reader:
                times = frame_times(way, 0.0, reader.length_seconds or 0.0)
                return reader.frames_at(times), frames_per_second(way, times)
        pictures = [visual for visual in visuals if isinstance(visual, Image.Image)]
        if not pictures or len(pictures) != len(visuals):
            kinds = ", ".join(sorted({type(visual).__name__ for visual in visuals})) or "nothing"
            raise SourceError(f"svlm is asked about one video file or pictures, not about {kinds}")
        size = pictures[0].size
        with boundary("a picture of the question cannot be decoded", SourceError):
            frames = [np.asarray(picture.convert("RGB").resize(size)) for picture in pictures]
        return np.stack(frames), 1.0


def _flat(visuals: Any) -> list[Any]:
    if not isinstance(visuals, list | tuple):
        return [] if visuals is None else [visuals]
    return [each for visual in visuals for each in _flat(visual)]


def _question(context: Any) -> str:
    """The text of a question: places for pictures in it are not ours."""
    text = context[0] if isinstance(context, list | tuple) else context
    return str(text).replace("<image>", "").replace("<video>", "").strip()


def _check(show: str, given: Mapping[str, Any]) -> None:
    for name, kind in {"show": Showing, **_CHOICES}.items():
        value = {"show": show, **given}.get(name)
        if value is not None and value not in tuple(kind):
            raise UsageError(f"{name}={value} is not known", f"{name}: {', '.join(kind)}")
    for name in given:
        if name not in (*_MODEL, *_STREAM):
            close = get_close_matches(name, (*_MODEL, *_STREAM), n=1)
            raise UsageError(f"unknown model argument {name}", f"did you mean {close[0]}?" if close else "")
