"""Claims on what one process alone may write: a lock of the kernel's, and a lease for other machines.

A lock is let go by the kernel at once, however its process ends; but on network file systems, and object
stores mounted as folders, it may hold on one machine only, or not be known. So the file that is locked is a
lease as well: it says who holds it and is renewed while he lives. One that was not renewed for its term may
be taken over, and who comes back after that finds that it is no longer his (``Claim.require``). Ages are
differences of times of one file system, so that no clocks need agree.
"""

from __future__ import annotations

import errno
import logging
import math
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

from svlm_cli import leases
from svlm_cli.errors import OutputError
from svlm_cli.files import make_folder
from svlm_cli.leases import Lease, age_of, is_at, lock, read_lease
from svlm_cli.text import visible

_RENEWALS = 4  # in a term
_RETRY_SECONDS = 0.005
_POLL_SECONDS = 0.2
_LEAVING_SECONDS = 10.0
_TELL_SECONDS = 5.0
_SIGNING_SECONDS = 2.0  # that a lease may be empty, between its making and its first words


class Claim:
    """One process's exclusive right to write something; it ends with the process, however that ends.

    A lock and a lease, ``.NAME.lock`` beside it, or ``.lock`` inside, which goes when it is let go. Processes
    forked later do not share it.

    Args:
        path: what is claimed, there or not, in a folder that is there.
        inside: it is a folder that is there, and all in it is claimed.

    Raises:
        BlockingIOError: somebody else, or this process already, has it; its text says who.
        OSError: the lock cannot be written.
    """

    def __init__(self, path: Path, *, inside: bool = False) -> None:
        target = Path(os.path.realpath(path))
        self._path = target / ".lock" if inside else target.with_name(f".{target.name}.lock")
        self._name = target.name
        self._lease = Lease.of_this_process()
        self._descriptor = -1
        until = time.monotonic() + _LEAVING_SECONDS
        while not self._take(until):
            time.sleep(_RETRY_SECONDS)

    def require(self) -> None:
        """See that it was not taken over; called before what is claimed is put in its place.

        Raises:
            OutputError: it was, as nothing was heard of this process for the term of its lease.
        """
        if not self._is_mine():
            found = read_lease(self._path)
            who = "somebody else" if found is None else found.who
            raise OutputError(
                f"{self._name}: nothing was heard of this process for {self._lease.term:g} s, and {who} "
                "has taken over",
                "what is whole stays; run the same command again for the rest",
            )

    def release(self) -> None:
        """Let it go; twice is fine."""
        if self._descriptor >= 0:
            _held.discard(self)
            with suppress(OSError):
                if is_at(self._descriptor, self._path):
                    self._path.unlink()
            self.drop()

    def drop(self) -> None:
        """Forget it without letting it go: a forked child does."""
        with suppress(OSError):
            os.close(self._descriptor)
        self._descriptor = -1

    def renew(self) -> None:
        """Say once more that its process lives."""
        self._lease = self._lease.renew()
        with suppress(OSError):  # the next time, or never again
            self._lease.write(self._descriptor)

    def _take(self, until: float) -> bool:
        """Try once; no other thread lets go of all claims between the making of the file and its noting."""
        with _held.taking:
            descriptor = self._begin(self._path)
            if descriptor is None:
                descriptor = self._succeed(until)
            if descriptor is None:
                return False
            if not self._is_mine():
                os.close(descriptor)  # somebody on another machine was faster
                return False
            self._descriptor = descriptor
            _held.add(self)
            return True

    def _is_mine(self) -> bool:
        found = read_lease(self._path)
        return found is not None and found.token == self._lease.token

    def _begin(self, path: Path) -> int | None:
        """Make a file that is not there, locked and signed; None where it is there."""
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        except FileExistsError:
            return None
        until = time.monotonic() + _SIGNING_SECONDS
        try:
            while lock(descriptor) is False and time.monotonic() < until:
                time.sleep(_RETRY_SECONDS)  # somebody looks who is here
            self._lease.write(descriptor)
        except BaseException:  # the disk is full, or the process is told to end
            path.unlink(missing_ok=True)
            os.close(descriptor)
            raise
        return descriptor

    def _succeed(self, until: float) -> int | None:
        """Take up a file that somebody left behind; None to try again.

        Raises:
            BlockingIOError: he has not left.
        """
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        with _closing_unless_kept(descriptor) as keep:
            is_locked, found = lock(descriptor), read_lease(self._path)
            if is_locked and not is_at(descriptor, self._path):
                return None  # who had it has removed it just now
            if self._is_held(found, is_locked):
                is_leaving = found is None or found.has_ended()
                if is_leaving and time.monotonic() < until:
                    time.sleep(_POLL_SECONDS)  # a process that was killed is still on its way out
                    return None
                raise BlockingIOError(errno.EWOULDBLOCK, "another process" if found is None else found.who)
            if is_locked and (found is None or found.shares_locks()):
                self._lease.write(descriptor)
                return keep()
        return self._replace(found)

    def _is_held(self, found: Lease | None, is_locked: bool | None) -> bool:
        """Whether a file that is there is somebody's.

        Args:
            found: what it says.
            is_locked: True: we have locked it; False: somebody else has; None: this file system has no locks.
                NFS keeps the lock of a process that stands still on another machine: there the lease decides.
        """
        is_far = found is not None and not found.shares_locks()
        if is_locked is False and not is_far:
            return True
        if is_locked and found is not None and found.shares_locks():
            return False
        if found is not None and found.has_ended() is not None:
            return not found.has_ended()
        age = age_of(self._path)
        return age is not None and age < (_SIGNING_SECONDS if found is None else found.term)

    def _replace(self, found: Lease | None) -> int | None:
        """Take over a lease that has run out: of several who want to, one may make its successor."""
        token = "" if found is None else found.token
        successor = self._path.with_name(f"{self._path.name}.after-{token}")
        descriptor = self._begin(successor)
        if descriptor is None:
            if (age_of(successor) or 0) > self._lease.term:
                successor.unlink(missing_ok=True)  # its maker was killed at it
            return None
        now = read_lease(self._path)
        if (now.token if now is not None else "") == token:
            with suppress(FileNotFoundError):
                successor.rename(self._path)
            return descriptor
        successor.unlink(missing_ok=True)
        os.close(descriptor)
        return None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def claim(path: Path, what: str, *, inside: bool = False) -> Claim:
    """Claim something, or refuse at once.

    Args:
        path, inside: as ``Claim`` has them.
        what: it is, for people, e.g. "the output words.vtt".

    Raises:
        OutputError: somebody has it (says who), or it cannot be claimed.
    """
    try:
        return Claim(path, inside=inside)
    except BlockingIOError as error:
        raise OutputError(
            f"{what} is being written by {error.strerror}", "wait for it, or name another"
        ) from error
    except OSError as error:
        raise OutputError(f"cannot write beside {what}: {error.strerror}", "choose another folder") from error


@contextmanager
def claimed(path: Path, should_stop: Callable[[], bool] = lambda: False) -> Iterator[Claim | None]:
    """Claim something as soon as whoever has it, in this process or another, lets it go; a long wait is told.

    Args:
        path: as ``Claim`` has it; folders above it are made, and made again where they go meanwhile.
        should_stop: says whether to stop waiting while another one has it.

    Yields:
        The claim; None once told to stop.
    """
    held, tell_at = None, time.monotonic() + _TELL_SECONDS
    until = time.monotonic() + _SIGNING_SECONDS
    while held is None:
        try:
            make_folder(path.parent)
            held = Claim(path)
        except (FileNotFoundError, FileExistsError):  # who left last has removed the folder meanwhile
            if time.monotonic() > until:
                raise
            time.sleep(_RETRY_SECONDS)
        except BlockingIOError as error:
            if should_stop():
                yield None
                return
            if time.monotonic() > tell_at:
                told = visible(f"{path.name}: waiting for {error.strerror}")
                logging.getLogger(__name__).warning("%s", told)
                tell_at = math.inf
            time.sleep(_POLL_SECONDS)
    with held:
        yield held


@contextmanager
def _closing_unless_kept(descriptor: int) -> Iterator[Callable[[], int]]:
    """Close a file in the end, unless what is yielded was called."""
    kept = []

    def keep() -> int:
        kept.append(descriptor)
        return descriptor

    try:
        yield keep
    finally:
        if not kept:
            os.close(descriptor)


def release_all(*, for_good: bool = False) -> None:
    """Let go of all that this process has claimed, before it ends without finishing its work.

    What still goes on in it finds by ``Claim.require`` that its claim is gone, and puts nothing in place.

    Args:
        for_good: the process ends now: whoever claims anything in another of its threads waits until it does.
    """
    with _held.taking:
        for claim in _held.all():
            claim.release()
        if for_good:
            _held.taking.acquire()


class _Holding:
    """The claims of this process; a thread renews them.

    Attributes:
        taking: held while a claim is taken, and while all are let go of.
    """

    def __init__(self) -> None:
        self._claims: set[Claim] = set()
        self.taking = threading.RLock()
        self._guard = threading.Lock()
        self._is_renewing = False

    def add(self, claim: Claim) -> None:
        """One more; the first one begins the renewing."""
        with self._guard:
            self._claims.add(claim)
            if not self._is_renewing:
                self._is_renewing = True
                threading.Thread(target=self._renew, name="claims", daemon=True).start()

    def discard(self, claim: Claim) -> None:
        """One less; not while it is being renewed."""
        with self._guard:
            self._claims.discard(claim)

    def all(self) -> list[Claim]:
        """The claims that are held now."""
        with self._guard:
            return list(self._claims)

    def forget(self) -> None:
        """In a forked child: a claim must end with the process that took it."""
        self._guard = threading.Lock()
        self.taking = threading.RLock()
        self._is_renewing = False
        for claim in self._claims:
            claim.drop()
        self._claims.clear()

    def _renew(self) -> None:
        while True:
            time.sleep(leases.TERM_SECONDS / _RENEWALS)
            with self._guard:
                for claim in self._claims:
                    claim.renew()


_held = _Holding()
os.register_at_fork(after_in_child=_held.forget)
