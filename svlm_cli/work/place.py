"""Where work is done: ``--on local|ray[:ADDRESS]``."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable
from dataclasses import dataclass

from svlm_cli.errors import UsageError
from svlm_cli.work.jobs import Crew, EventT, Hire, JobT
from svlm_cli.work.local import OneHand, Processes, Threads

_ADDRESS = re.compile(r"[^\s:/]+:[0-9]{1,5}|\[[0-9A-Fa-f:.%]+\]:[0-9]{1,5}")


@dataclass(frozen=True, slots=True)
class Workplace:
    """A place to work.

    Args:
        on_cluster: True: on a Ray cluster; False: on this machine.
        address: the address of the cluster; empty for the one this machine belongs to.
    """

    on_cluster: bool = False
    address: str = ""

    def crew(
        self,
        hire: Hire[JobT, EventT],
        num_workers: int,
        *,
        shares: bool,
        with_gpu: bool,
        near: Callable[[JobT], str] = lambda _job: "",
        name: Callable[[JobT], str] = str,
    ) -> Crew[JobT, EventT]:
        """A crew there.

        Args:
            hire: makes a hand; can be pickled, unless ``shares`` and on this machine.
            num_workers: hands on this machine, or on each node of a cluster.
            shares: whether several threads share one hand on this machine, which knows of that.
            with_gpu: whether each hand on a cluster has a GPU, where there are some.
            near: what a job reads: on a cluster, jobs that read the same go to the same node.
            name: what a job is called, for people.

        Raises:
            SvlmError: the cluster cannot be reached.
        """
        if self.on_cluster:
            from svlm_cli.work.cluster import Cluster

            return Cluster(hire, self.address, num_workers, with_gpu=with_gpu, near=near, name=name)
        if shares:
            return Threads(hire, num_workers)
        return OneHand(hire) if num_workers == 1 else Processes(hire, num_workers, name)


HERE = Workplace()


def parse_place(given: str) -> Workplace:
    """``local``, ``ray`` or ``ray:HOST:PORT``.

    Raises:
        UsageError: it is none of these, or Ray is not installed.
    """
    kind, colon, address = given.partition(":")
    if kind == "local" and not colon:
        return HERE
    if kind != "ray" or (colon and not _ADDRESS.fullmatch(address)):
        raise UsageError(f"--on {given}: not local, ray or ray:HOST:PORT", "e.g. --on ray:10.0.0.1:6379")
    if importlib.util.find_spec("ray") is None:
        raise UsageError("--on ray needs Ray, which is not installed", "pip install ray")
    return Workplace(True, address)
