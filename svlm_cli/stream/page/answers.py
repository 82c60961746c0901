"""What the page answers: the API of docs/api.md, and the pages that use it."""

from __future__ import annotations

import asyncio
import json
import re
import secrets
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response

from svlm_cli import __version__, values
from svlm_cli.stream.channels.channel import ChannelState, Condition, Desk
from svlm_cli.stream.page.audience import TooManyViewers
from svlm_cli.stream.page.board import Board
from svlm_cli.stream.page.hub import Hub
from svlm_cli.stream.page.limits import most_downloads
from svlm_cli.stream.page.metrics import MEDIA_TYPE, ChannelCollector, metrics_registry, metrics_text
from svlm_cli.stream.page.pictures import KEPT_UNSEEN
from svlm_cli.stream.page.sending import Download, Following
from svlm_cli.stream.page.taking import Pauses, Refused, answered, question_in, require_own_origin, taken

ASSETS = Path(__file__).parents[2] / "assets" / "page"
MOST_OPENING = 4
PLAYLIST_TYPE = "application/vnd.apple.mpegurl"
MOST_RECENT = 999_999
_EVENT_ID = re.compile(r"([0-9A-Za-z]{1,32}-)?[0-9]{1,18}")
_SEGMENT = re.compile(r"[0-9]{1,9}\.vtt")


class PageAnswers:
    """PageAnswers requests; for one event loop.

    Args:
        board: the channels.
        origins: the origins of pages elsewhere that may use the API.
        desk: where channels are added and removed, None where they are not.
        takes_frames: whether a channel is made for whoever sends frames.
    """

    def __init__(
        self,
        board: Board,
        origins: tuple[str, ...] = (),
        desk: Desk | None = None,
        *,
        takes_frames: bool = False,
    ) -> None:
        self._board = board
        self._origins = origins
        self._desk = desk
        self._takes_frames = takes_frames
        self._asked, self._opening = Pauses(), asyncio.Semaphore(MOST_OPENING)
        self._downloads = asyncio.Semaphore(most_downloads())
        self._registry = metrics_registry(ChannelCollector(board.figures, lambda: len(board.audience)))

    async def index(self, request: Request) -> Response:
        """The page of a channel, or the wall of several."""
        is_wall = self._board.is_several and "channel" not in request.query_params
        return _page("wall.html" if is_wall else "index.html")

    async def overlay(self, _: Request) -> Response:
        """The last words on nothing, for a video mixer."""
        return _page("overlay.html")

    async def camera(self, _: Request) -> Response:
        """The page that sends the camera of whoever opens it."""
        if not self._takes_frames:
            raise Refused(404, "no pictures are taken here", "svlm stream push: --serve ...")
        return _page("camera.html")

    async def api(self, _: Request) -> Response:
        """This API in OpenAPI's words."""
        return JSONResponse(api_description())

    async def events(self, request: Request) -> Response:
        """Server-sent events; a browser that comes back says what it has seen."""
        name = request.query_params.get("channel")
        if name is not None:
            self._hub(request)
        since = request.query_params.get("since")
        if since is not None and not _EVENT_ID.fullmatch(since):
            raise Refused(400, "since is no id of an event", "?since=ID, as an event had it")
        recent = request.query_params.get("recent")
        most = None if recent is None else values.digits(recent, MOST_RECENT)
        if recent is not None and most is None:
            raise Refused(400, f"recent is no whole number from 0 to {MOST_RECENT}", "?recent=5")
        after = request.headers.get("last-event-id") or since or ""
        try:
            return Following(self._board.audience, self._board.join(name, after, most))
        except TooManyViewers:
            raise Refused(503, "too many viewers", "try again later") from None

    async def picture(self, request: Request) -> Response:
        """The JPEG of a step."""
        hub, at = self._hub(request), request.query_params.get("at")
        seconds = None if at is None else _seconds(at)
        jpeg = hub.pictures.at(seconds)
        if jpeg is None:
            raise Refused(
                404,
                "no picture of this second is kept",
                f"?at=SECONDS of one of the last {KEPT_UNSEEN} steps",
            )
        kept = "no-store" if seconds is None else "private, max-age=600"
        return Response(jpeg, media_type="image/jpeg", headers={"Cache-Control": kept})

    async def words(self, request: Request) -> Response:
        """The captions up to now."""
        return self._download(self._hub(request).words_path, "text/vtt")

    async def all_events(self, request: Request) -> Response:
        """All events up to now."""
        return self._download(self._hub(request).events_path, "application/jsonl")

    async def captions(self, request: Request) -> Response:
        """The playlist of the captions, for players."""
        hub = self._hub(request)
        try:
            text = hub.playlist_path.read_text(encoding="utf-8")
        except OSError:
            raise Refused(404, "nothing has been said yet", "try again later") from None
        if "channel" in request.query_params:  # so that its segments are asked of the same channel
            query = urlencode({"channel": hub.name})
            text = re.sub(r"^(?!#)(.+)$", lambda found: f"{found[1]}?{query}", text, flags=re.MULTILINE)
        return Response(text, media_type=PLAYLIST_TYPE, headers={"Cache-Control": "no-store"})

    async def segment(self, request: Request) -> Response:
        """A segment of the captions."""
        folder, name = self._hub(request).playlist_path.with_suffix(""), request.path_params["name"]
        if not _SEGMENT.fullmatch(name) or not (folder / name).is_file():
            raise Refused(404, "there is no such segment, or not any more", "/captions.m3u8 lists them")
        return FileResponse(folder / name, media_type="text/vtt", headers={"Cache-Control": "max-age=600"})

    async def ask(self, request: Request) -> Response:
        """Take a question: JSON ``{"question": TEXT}``."""
        hub = self._hub(request)
        question = question_in(await taken(request, self._origins))
        self._asked.require(request)
        number = secrets.token_hex(4)
        if not hub.questions.ask(question, id=number):
            raise Refused(429, "too many questions wait already", "try again later")
        return JSONResponse({"id": number, "asked": question}, 202)

    async def health(self, request: Request) -> Response:
        """Whether all is well, or one channel."""
        hubs = self._board.hubs
        lacks = self._board.lacks
        if "channel" in request.query_params or (len(hubs) == 1 and not lacks):
            hub = self._hub(request)
            found: dict[str, object] = _health(hub)
            return JSONResponse(found, 503 if hub.figures.trouble else 200)
        channels = {name: _health(hub) for name, hub in hubs.items()}
        ill = [f"{name}: {each['reason']}" for name, each in channels.items() if "reason" in each]
        ill = [*([lacks] if lacks else []), *ill]
        told: dict[str, object] = {"status": "unwell", "reason": "; ".join(ill)} if ill else {"status": "ok"}
        return JSONResponse(told | {"channels": channels}, 503 if ill else 200)

    async def metrics(self, _: Request) -> Response:
        """Figures for Prometheus."""
        return Response(metrics_text(self._registry), headers={"Content-Type": MEDIA_TYPE})

    async def channels(self, request: Request) -> Response:
        """List the channels, add one, or remove one."""
        if request.method == "POST":
            return await self._add(request)
        if request.method == "DELETE":
            return await self._remove(request)
        hubs = self._board.hubs
        states = {} if self._desk is None else {each.name: each for each in self._desk.states()}
        listed = [_listed(hub, states.get(name)) for name, hub in hubs.items()]
        listed += [_unopened(state) for name, state in states.items() if name not in hubs]
        return JSONResponse(
            {
                "channels": listed,
                "may_add": self._desk is not None,
                "takes_frames": self._takes_frames,
            }
        )

    async def _add(self, request: Request) -> Response:
        desk = self._require_desk()
        entry = await taken(request, self._origins)
        if self._opening.locked():
            raise Refused(429, "channels are being opened", "try again later")
        async with self._opening:
            name = await answered(lambda: desk.add(entry))
        return JSONResponse({"name": name}, 201)

    async def _remove(self, request: Request) -> Response:
        desk = self._require_desk()
        require_own_origin(request, self._origins)
        hub = self._hub(request)
        await answered(lambda: desk.remove(hub.name))
        return JSONResponse({"removed": hub.name})

    def _require_desk(self) -> Desk:
        if self._desk is None:
            raise Refused(409, "channels cannot be added or removed here", "svlm stream ... --max-channels N")
        return self._desk

    def _hub(self, request: Request) -> Hub:
        name = request.query_params.get("channel")
        hub = self._board.find(name)
        if hub is None and name is None and (names := list(self._board.hubs)):
            raise Refused(400, "name one of the channels", f"?channel={names[0]}; GET /channels lists them")
        if hub is None:
            raise Refused(404, "there is no such channel", "GET /channels lists them")
        return hub

    def _download(self, path: Path, media_type: str) -> Response:
        if not path.is_file():
            raise Refused(404, "nothing has been said yet", "try again later")
        if self._downloads.locked():
            raise Refused(503, "too many downloads", "try again later")
        return Download(path, media_type, self._downloads)


def _seconds(text: str) -> float:
    seconds = values.decimal(text)
    if seconds is None:
        raise Refused(400, "at is no number of seconds", "?at=12.5")
    return seconds


def _page(name: str) -> Response:
    return FileResponse(ASSETS / name, headers={"Cache-Control": "no-cache"})


def _health(hub: Hub) -> dict[str, object]:
    figures = hub.figures
    told: dict[str, object] = {"status": "ok"}
    if reason := figures.trouble:
        told = {"status": "unwell", "reason": reason}
    return told | {"lag_seconds": round(figures.lag_seconds, 3), "last_step_utc": figures.last_step_utc}


def _listed(hub: Hub, state: ChannelState | None) -> dict[str, object]:
    figures = hub.figures
    has_failed = state is not None and state.condition is Condition.FAILED
    return {
        "name": hub.name,
        "source": figures.source,
        "foreign": figures.foreign,
        "condition": Condition.FAILED if has_failed else figures.condition,
        "reason": figures.trouble,
        "lag_seconds": round(figures.lag_seconds, 3),
        "skipped_seconds": round(figures.skipped_seconds, 3),
        "last_words": figures.last_words,
        "last_step_utc": figures.last_step_utc,
    }


def _unopened(state: ChannelState) -> dict[str, object]:
    """A channel of which nothing has been told: it is being opened, or could not be."""
    return {
        "name": state.name,
        "source": state.source,
        "foreign": False,
        "condition": state.condition,
        "reason": "",
        "lag_seconds": 0.0,
        "skipped_seconds": 0.0,
        "last_words": "",
        "last_step_utc": None,
    }


@cache
def api_description() -> Mapping[str, object]:
    """The API in OpenAPI's words."""
    described: dict[str, dict[str, object]] = json.loads((ASSETS / "api.json").read_text(encoding="utf-8"))
    described["info"]["version"] = __version__
    return described
