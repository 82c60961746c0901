"""The command line: which commands there are, and the one place where errors become exit codes.

Exit codes: 0 done, 1 a failure with a name, 2 wrong usage, 130 interrupted. Importing this module loads
no model code: every command imports what it needs when it runs.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Sequence
from typing import Annotated

import typer

from svlm_cli import __version__
from svlm_cli.commands import align, chunk, fetch, train
from svlm_cli.commands.bench import command as bench
from svlm_cli.commands.engine import Engine, Invocation
from svlm_cli.commands.examples import help_of, shown
from svlm_cli.commands.output import INTERRUPTED, ReaderGone, TalkConsole, emit, prepare_streams, print_error
from svlm_cli.commands.stream import command as stream
from svlm_cli.errors import SvlmError, UsageError

DONE, FAILED, WRONG_USAGE = 0, 1, 2

# The parser's own errors: what typer.BadParameter and "no such option" have in common.
ParserError: type[Exception] = typer.BadParameter.__bases__[0]

EXAMPLES = """
svlm stream 'arena:soccer?seed=7' --fps 8
svlm stream match.mp4 -m mit-han-lab/StreamingVLM -o match.vtt
svlm stream rtsp://camera.local/stream --serve 8000
svlm stream --help"""

app = typer.Typer(
    name="svlm",
    help=help_of("Real-time video understanding on streams that never end.", EXAMPLES),
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        emit(f"svlm {__version__}")
        raise typer.Exit


def _print_environment(wanted: bool) -> None:
    if wanted:
        from svlm_cli.commands.environment import environment_lines

        for line in environment_lines():
            emit(line)
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    _version: Annotated[
        bool,
        typer.Option(
            "--version", "-V", is_eager=True, callback=_print_version, help="Print the version and exit."
        ),
    ] = False,
    _env: Annotated[
        bool,
        typer.Option(
            "--env",
            is_eager=True,
            callback=_print_environment,
            help="Print what a bug report needs: versions, processor, kernels, devices, memory; "
            "no paths, names or tokens.",
        ),
    ] = False,
) -> None:
    if context.invoked_subcommand is None:
        emit(context.get_help())


shown(app, stream.EXAMPLES)(stream.stream)
shown(app, fetch.EXAMPLES)(fetch.fetch)
shown(app, align.EXAMPLES)(align.align)
shown(app, chunk.EXAMPLES)(chunk.chunk)
shown(app, train.EXAMPLES)(train.train)
app.add_typer(bench.app, name="bench")


def exit_code(action: Callable[[], object], state: Invocation) -> int:
    """Run ``action`` and say how it ended.

    Args:
        action: what to do; an integer it returns is the exit code.
        state: what it was called with, as read after a failure.
    """
    try:
        code = action()
    except ReaderGone:
        return DONE
    except (KeyboardInterrupt, typer.Abort) as error:
        if isinstance(error.__cause__, EOFError):  # the parser takes it for Ctrl-D; it is a file cut short
            return _report(f"a file ends too early: {error.__cause__}", FAILED, state)
        return INTERRUPTED
    except SvlmError as error:
        return _report(str(error), WRONG_USAGE if isinstance(error, UsageError) else FAILED, state)
    except ParserError as error:
        return _report(_parser_message(error), WRONG_USAGE, state)
    except Exception as error:
        hint = "" if state.verbose else " (run again with --verbose for the traceback)"
        return _report(f"{type(error).__name__}: {error}{hint}", FAILED, state)
    return code if isinstance(code, int) else DONE


def _report(message: str, code: int, state: Invocation) -> int:
    if state.verbose:
        TalkConsole().print(traceback.format_exc().rstrip())
    print_error(message)
    return code


def _parser_message(error: Exception) -> str:
    """What the parser says, in our form: one line, the nearest name for a mistyped one, where to look."""
    nearest = getattr(error, "possibilities", None)
    context = getattr(error, "ctx", None)
    if nearest:
        text, hint = str(error), f"did you mean {' or '.join(sorted(nearest))}?"
    else:
        text = error.format_message() if hasattr(error, "format_message") else str(error)
        hint = f"see {context.command_path if context else 'svlm'} --help"
    text = " ".join(text.replace("Value error, ", "").split()).rstrip(".")
    return f"{text[:1].lower()}{text[1:]} ({hint})"


def run(arguments: Sequence[str], engine: Engine | None = None) -> int:
    """Run ``svlm`` with these arguments and return its exit code.

    Args:
        arguments: the words of the command line.
        engine: runs ``svlm stream`` of one source; None for svlm's own.
    """
    prepare_streams()
    state = Invocation(engine or Engine())

    def parse_and_do() -> object:
        command = typer.main.get_command(app)
        return command.main(args=list(arguments), prog_name="svlm", standalone_mode=False, obj=state)

    return exit_code(parse_and_do, state)
