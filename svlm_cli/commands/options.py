"""The options that commands share, in groups: name, unit, meaning and default of each stand here, once."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from svlm_cli.commands.engine import Engine, Invocation
from svlm_cli.documents import MalformedError, read_text
from svlm_cli.errors import SvlmError

if TYPE_CHECKING:
    from svlm_cli.model.runtime import VideoLanguageModel

MODEL_PANEL = "Model"
OUTPUT_PANEL = "Output"
_MOST_TEXT_BYTES = 1 << 24


class Dtype(StrEnum):
    """Number format of weights."""

    AUTO = "auto"
    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"


class Quantize(StrEnum):
    """Format of the weights of linear layers, where it is another than the model's."""

    NONE = "none"
    INT8 = "int8"
    INT4 = "int4"


class KvCache(StrEnum):
    """Number format of keys and values in the cache."""

    AUTO = "auto"
    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"
    INT8 = "int8"


class Graphs(StrEnum):
    """Replay the feeding of a word as a CUDA graph; ``auto``: where there is CUDA."""

    AUTO = "auto"
    ON = "on"
    OFF = "off"


class Attention(StrEnum):
    """Attention kernel."""

    AUTO = "auto"
    SDPA = "sdpa"
    FLASH_ATTENTION_2 = "flash_attention_2"


def finite(value: float | None) -> float | None:
    """Option callback: neither nan nor an infinity."""
    if value is not None and not math.isfinite(value):
        raise typer.BadParameter(f"{value} is not a finite number")
    return value


def not_nan(value: float | None) -> float | None:
    """Option callback: a number, infinite or not."""
    if value is not None and math.isnan(value):
        raise typer.BadParameter(f"{value} is not a number")
    return value


def unicode_text(value: str) -> str:
    """Option callback: text that can be encoded, which an argument with stray bytes cannot."""
    try:
        value.encode()
    except UnicodeEncodeError:
        raise typer.BadParameter("not valid UTF-8") from None
    return value


def optional_text(value: str | None) -> str | None:
    """Option callback: as ``unicode_text``, where there is a value."""
    return None if value is None else unicode_text(value)


def device_name(value: str) -> str:
    """Option callback: devices by name; whether they are there shows when the model is loaded."""
    if not re.fullmatch(r"auto|(cpu|cuda(:[0-9]+)?)(,(cpu|cuda(:[0-9]+)?))*", value):
        raise typer.BadParameter(f"{value!r} is not one of auto, cpu, cuda, cuda:0, cuda:1, ...")
    return value


def _remember_verbose(context: typer.Context, value: bool) -> bool:
    if value and isinstance(context.obj, Invocation):
        context.obj.verbose = True
    return value


def read_text_option(value: str) -> str:
    """The value of a TEXT|@FILE option: the text itself, or what the UTF-8 file holds.

    Raises:
        SvlmError: the file cannot be read or is not UTF-8.
    """
    if not value.startswith("@"):
        return value
    path = Path(value[1:])
    try:
        return read_text(path, _MOST_TEXT_BYTES).strip()
    except OSError as error:
        raise SvlmError(
            f"cannot read {path}: {error.strerror}", "give an existing file after the @"
        ) from error
    except MalformedError as error:
        raise SvlmError(f"{path}: {error}", "convert it, e.g. with iconv") from error


def option(panel: str, spelling: str, meaning: str, **more: Any) -> Any:
    """A Typer option in one of the panels of ``--help``.

    Args:
        spelling: its names and the name of its value, as in ``--fps N`` or ``--verbose -v``.
        meaning: its help, unit included; Typer adds the default.
    """
    words = spelling.split()
    names = [word for word in words if word.startswith("-")]
    metavar = " ".join(words[len(names) :]) or None
    return typer.Option(*names, metavar=metavar, help=meaning, rich_help_panel=panel, **more)


On = Annotated[
    str,
    option(
        "Place of the work",
        "--on local|ray[:ADDRESS]",
        "This machine, or a Ray cluster: the one this machine belongs to, or that at HOST:PORT. --workers "
        "are those of each node then, and all files must lie in folders that the nodes share.",
    ),
]


def choices(kind: type[StrEnum]) -> str:
    """``a|b|c``, as the help shows the values of an option."""
    return "|".join(kind)


@dataclass(frozen=True, slots=True)
class Talk:
    """How a command speaks."""

    json: Annotated[
        bool, option(OUTPUT_PANEL, "--json", "Print machine-readable JSON on standard output.")
    ] = False
    quiet: Annotated[bool, option(OUTPUT_PANEL, "--quiet -q", "Print data and errors only.")] = False
    verbose: Annotated[
        bool,
        option(
            OUTPUT_PANEL,
            "--verbose -v",
            "Say more on standard error, and show the traceback when something fails.",
            callback=_remember_verbose,
        ),
    ] = False


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """Which model, and how it computes."""

    model: Annotated[
        str | None,
        option(
            MODEL_PANEL,
            "--model -m ID|DIR",
            "Checkpoint: a Hugging Face id or a local folder.",
            show_default="$SVLM_MODEL, else the bundled arena model",
            callback=optional_text,
        ),
    ] = None
    adapter: Annotated[
        str | None,
        option(
            MODEL_PANEL,
            "--adapter ID|DIR",
            "LoRA adapter to merge into the model, as svlm train writes it.",
            show_default="none",
        ),
    ] = None
    device: Annotated[
        str,
        option(
            MODEL_PANEL,
            "--device auto|cpu|cuda[:N]",
            "Device to compute on; channels of svlm stream may have several, cuda:0,cuda:1.",
            callback=device_name,
        ),
    ] = "auto"
    dtype: Annotated[Dtype, option(MODEL_PANEL, f"--dtype {choices(Dtype)}", "Number format of weights.")] = (
        Dtype.AUTO
    )
    threads: Annotated[
        int | None,
        option(MODEL_PANEL, "--threads N", "CPU threads.", min=1, show_default="torch's own choice"),
    ] = None
    attention: Annotated[
        Attention, option(MODEL_PANEL, f"--attention {choices(Attention)}", "Attention kernel.")
    ] = Attention.AUTO
    quantize: Annotated[
        Quantize,
        option(
            MODEL_PANEL,
            f"--quantize {choices(Quantize)}",
            "Linear layers in signed bytes, or those of the language model in four bits: faster on a CPU, "
            "and a quarter or an eighth of the memory; words may differ, in four bits more.",
        ),
    ] = Quantize.NONE
    kv_cache: Annotated[
        KvCache,
        option(
            MODEL_PANEL,
            f"--kv-cache {choices(KvCache)}",
            "Number format of cached keys and values; auto: the model's, bfloat16 under --quantize. On a CPU "
            "a smaller one is faster; words may differ.",
        ),
    ] = KvCache.AUTO

    def load(self, engine: Engine | None = None, **more: Any) -> VideoLanguageModel:
        """Open it.

        Args:
            engine: opens it; None for svlm's own.
            more: further arguments of ``load_model``.

        Raises:
            ModelError, UsageError: see ``load_model``.
        """
        return (engine or Engine()).load_model(
            self.model,
            device=self.device,
            dtype=self.dtype.value,
            attention=self.attention.value,
            threads=self.threads,
            adapter=self.adapter,
            quantize=self.quantize.value,
            kv_cache=self.kv_cache.value,
            **more,
        )


@dataclass(frozen=True, slots=True)
class WordChoice:
    """How a word is fed to the model."""

    compiled: Annotated[
        bool,
        option(
            MODEL_PANEL,
            "--compile",
            "Compile the forward pass of a word with torch.compile; takes seconds to a minute at the start.",
        ),
    ] = False
    graphs: Annotated[
        Graphs,
        option(
            MODEL_PANEL,
            f"--graphs {choices(Graphs)}",
            "Replay the forward pass of a word as a CUDA graph; auto: on where there is CUDA.",
        ),
    ] = Graphs.AUTO
