"""Hands that hold a model: what a benchmark does with one, here or on a cluster."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, NoReturn, TypeVar

from svlm_cli.bench.common.model import ModelFacts, ModelOptions, model_facts
from svlm_cli.errors import ModelError, SvlmError
from svlm_cli.types import WarningEvent
from svlm_cli.work.jobs import Aside, BegunAgain, Came, Crew, Ended, Heard, Signals
from svlm_cli.work.place import HERE, Workplace

if TYPE_CHECKING:
    from svlm_cli.model.runtime import VideoLanguageModel
    from svlm_cli.stream.step.feeding import Feeder

WorkT = TypeVar("WorkT")
Play = Callable[["VideoLanguageModel", WorkT, Signals, "Feeder | None"], Iterator[Any]]


@dataclass(frozen=True, slots=True)
class ModelJob(Generic[WorkT]):
    """Something to do with a model.

    Args:
        works: pieces of work, in their order; none only to open the model and look at it.
        facts: what the model must be, so that all hands give the same results; None before any looked.
        prompts: texts that the model will read, to look at.
    """

    works: tuple[WorkT, ...]
    facts: ModelFacts | None = None
    prompts: str = ""


@dataclass(frozen=True, slots=True)
class _Over:
    """A piece of work is done with."""

    error: Exception | None = None


@dataclass(frozen=True, slots=True)
class LookedAt:
    """A model that a hand has opened: its facts, and the words of prompts that are outside its vocabulary."""

    facts: ModelFacts
    unknown: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ModelHire(Generic[WorkT]):
    """Makes hands that do ``play`` with a model.

    Args:
        options: how to open it.
        play: a function of a module, so that it can be sent elsewhere.
        batch: pieces of work at once, in shared forwards.
    """

    options: ModelOptions
    play: Play[WorkT]
    batch: int

    def __call__(self, signals: Signals) -> _ModelHand[WorkT]:
        """The hand; its model is opened when first needed."""
        return _ModelHand(self, signals)


class _ModelHand(Generic[WorkT]):
    def __init__(self, hire: ModelHire[WorkT], signals: Signals) -> None:
        self._hire = hire
        self._signals = signals
        self._model: VideoLanguageModel | None = None
        self._facts: ModelFacts | None = None

    def do(self, job: ModelJob[WorkT]) -> Iterator[LookedAt | tuple[int, Any]]:
        """See ``Hand``; what comes of a piece of work has its number in the job."""
        from svlm_cli.stream.step.meeting import do_all

        if self._model is None or self._facts is None:
            self._model = self._hire.options.load()
            self._facts = model_facts(self._model)
        if job.facts not in (None, self._facts):
            raise ModelError(
                f"this worker opens the model as {_told(self._facts)}, the first one as {_told(job.facts)}",
                "all must have the same weights; give --device and --dtype",
            )
        if not job.works:
            yield LookedAt(self._facts, self._unknown(job.prompts))
            return
        works = (partial(self._one, number, work) for number, work in enumerate(job.works))
        with closing(do_all(self._model, works, self._hire.batch)) as events:
            yield from events

    def _one(self, number: int, work: WorkT, feeder: Feeder | None) -> Iterator[tuple[int, Any]]:
        assert self._model is not None
        try:
            with closing(self._hire.play(self._model, work, self._signals, feeder)) as events:  # type: ignore[type-var]
                for event in events:
                    yield number, event
        except Exception as error:
            yield number, _Over(error)
        else:
            yield number, _Over()

    def _unknown(self, prompts: str) -> tuple[str, ...]:
        from svlm_cli.model.prompt import PromptWriter

        assert self._model is not None
        return tuple(PromptWriter(self._model.tokenizer, self._model.markup).unknown_words(prompts))


@dataclass(frozen=True, slots=True)
class Staff:
    """Who works on a benchmark.

    Args:
        options: how each opens the model.
        num_workers: how many, on this machine or on each node.
        place: where.
        batch: pieces of work at once through the model of each.
    """

    options: ModelOptions
    num_workers: int = 1
    place: Workplace = HERE
    batch: int = 1

    def crew(
        self, play: Play[WorkT], near: Callable[[WorkT], str], name: Callable[[WorkT], str], most: int
    ) -> ModelCrew[WorkT]:
        """Open a crew.

        Args:
            play: what is done with a model, of a module.
            near: what a piece of work reads.
            name: what it is called, for people.
            most: pieces of work there are.
        """
        num = self.num_workers if self.place.on_cluster else max(1, min(self.num_workers, most))
        crew: Crew[ModelJob[WorkT], Any] = self.place.crew(
            ModelHire(self.options, play, self.batch),
            num,
            shares=False,
            with_gpu=self.options.device != "cpu",
            near=lambda job: near(job.works[0]) if job.works else "",
            name=lambda job: ", ".join(map(name, job.works)) or "opening the model",
        )
        is_alone = num == 1 and not self.place.on_cluster
        return ModelCrew(crew, most if is_alone else self.batch)


class ModelCrew(Generic[WorkT]):
    """A crew whose hands hold the same model; a context manager.

    Args:
        crew: a crew of hands as ``ModelHire`` makes them.
        size: pieces of work in a job.
    """

    def __init__(self, crew: Crew[ModelJob[WorkT], Any], size: int) -> None:
        self._crew = crew
        self._size = max(1, size)
        self._facts: ModelFacts | None = None

    def look(self, prompts: str) -> Iterator[LookedAt | WarningEvent]:
        """Have one hand open the model and say what it is; comes last.

        Raises:
            SvlmError: it cannot.
        """
        self._crew.add([ModelJob((), prompts=prompts)])
        with closing(self._crew.events()) as events:
            for heard in events:
                match heard:
                    case Came(event=LookedAt() as found):
                        self._facts = found.facts
                        yield found
                    case Ended(error=BaseException() as error):
                        raise error
                    case _:
                        yield from _warnings(heard)

    def work(self, pieces: Sequence[WorkT]) -> Generator[Heard[WorkT, Any] | WarningEvent, None, None]:
        """Do them all.

        Yields:
            ``Came`` and ``BegunAgain`` of the pieces, one ``Ended`` of each, and warnings.

        Raises:
            SvlmError: there are no hands any more.
        """
        starts = range(0, len(pieces), self._size)
        jobs = [ModelJob(tuple(pieces[at : at + self._size]), self._facts) for at in starts]
        left = {id(job): dict(enumerate(job.works)) for job in jobs}
        self._crew.add(jobs)
        with closing(self._crew.events()) as events:
            for heard in events:
                yield from _of_pieces(heard, left)

    def close(self) -> None:
        """End all hands; more than once is fine."""
        self._crew.close()

    def __enter__(self) -> ModelCrew[WorkT]:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _of_pieces(
    heard: Heard[ModelJob[WorkT], Any], left: dict[int, dict[int, WorkT]]
) -> Iterator[Heard[WorkT, Any] | WarningEvent]:
    """What is heard of a job, of its pieces; what comes again of one that is done with is left out.

    Args:
        left: for each job the pieces that are not done with, by their number.
    """
    match heard:
        case Came(job=job, event=(int() as number, event)) if number in left[id(job)]:
            piece = left[id(job)][number]
            if isinstance(event, _Over):
                del left[id(job)][number]
                yield Ended(piece, event.error)
            else:
                yield Came(piece, event)
        case Ended(job=job, error=BaseException() as error):
            for piece in left.pop(id(job)).values():
                yield Ended(piece, error)
        case BegunAgain(job=job, reason=reason):
            yield WarningEvent(reason)
            for piece in left[id(job)].values():
                yield BegunAgain(piece, reason)
        case _:
            yield from _warnings(heard)


def fail(error: BaseException, what: str) -> NoReturn:
    """Raise why a piece of work failed; an error of ours says which piece it was."""
    if isinstance(error, SvlmError) and what not in error.message:
        raise type(error)(f"{what}: {error.message}", error.hint) from error
    raise error


def _warnings(heard: Heard[Any, Any]) -> Iterator[WarningEvent]:
    match heard:
        case Aside(what=str() as message) | BegunAgain(reason=message):
            yield WarningEvent(message)


def _told(facts: ModelFacts | None) -> str:
    return "nothing" if facts is None else f"{facts.device} {facts.dtype} {facts.fingerprint[:8]}"
