"""Reaching a Ray cluster: who answers there, and what its workers are told of this process."""

from __future__ import annotations

import logging
import os
import re
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from svlm_cli.errors import SvlmError

_REACH_SECONDS = 10.0
_SETTINGS = b"\x04"
_HTTP2 = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(3) + _SETTINGS + bytes(5)
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_SENT = ("SVLM_MODEL", "OPENAI_API_KEY", "OPENAI_BASE_URL")


def join(address: str) -> bool:
    """Connect to a cluster, unless this process is.

    Returns:
        Whether the connection is ours to end.

    Raises:
        SvlmError: it cannot be reached.
    """
    import ray

    if ray.is_initialized():
        return False
    address = address or os.environ.get("RAY_ADDRESS", "")
    quiet = {"log_to_driver": False, "logging_level": logging.ERROR, "configure_logging": True}
    try:
        with _own_end():
            if not address:
                with suppress(ConnectionError):
                    ray.init(address="auto", **quiet)
                    return True
                ray.init(include_dashboard=False, **quiet)
                return True
            host, _, port = address.rpartition(":")
            if port.isdecimal():
                greet(host.strip("[]"), int(port))
            ray.init(address=address, **quiet)
    except Exception as error:  # gRPC's, Ray's and Python's own
        where = f"the Ray cluster at {address}" if address else "Ray"
        raise SvlmError(
            f"{where} cannot be reached: {short(error)}",
            "see ray status there; give HOST:PORT as ray start --head prints it",
        ) from error
    return True


def greet(host: str, port: int) -> None:
    """See that whoever answers there speaks HTTP/2, as Ray does: Ray itself would try for minutes.

    Raises:
        OSError: nobody answers, or in another language.
    """
    with socket.create_connection((host, port), _REACH_SECONDS) as link:
        if os.environ.get("RAY_USE_TLS", "0") in ("", "0"):
            link.sendall(_HTTP2)
            if link.recv(9)[3:4] != _SETTINGS:
                raise OSError("what answers there is not Ray")


@contextmanager
def _own_end() -> Iterator[None]:
    """What SIGTERM does stays as it is: Ray would take it over."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)


def environment() -> dict[str, str]:
    """What workers are told of this process's environment: where models are found, and keys."""
    return {name: value for name, value in os.environ.items() if name in _SENT or name.startswith("HF_")}


def short(error: BaseException) -> str:
    """The line of an error that says most; of Ray's on hands that cannot be made, the last one."""
    lines = [line.strip() for line in _COLOUR.sub("", str(error)).splitlines() if line.strip()]
    if not lines:
        return type(error).__name__
    return lines[-1 if "creation task" in lines[0] else 0][:200]
