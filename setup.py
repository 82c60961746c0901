"""The compiled kernels: built where there is a C++ compiler, left out where there is none.

In a checkout: ``python setup.py build_ext --inplace``.
"""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

ROOM = "svlm_cli/model/kernels/source"
FLAGS = ["-O3", "-g0", "-std=c++17", "-fvisibility=hidden", "-pthread"]
# Vectors pass between inlined functions only; GCC's own AVX-512 headers begin with a value that is undefined.
QUIET = ["-Wno-psabi", "-Wno-maybe-uninitialized", "-Wno-uninitialized"]


def sources(*endings: str) -> list[str]:
    """Files of the room by their endings, relative to this one."""
    root = Path(__file__).parent
    found = (path for ending in endings for path in (root / ROOM).glob(f"*{ending}"))
    return sorted(str(path.relative_to(root)) for path in found)


class BuildAtOnce(build_ext):
    """Compiles a file on each core: one after another, half a minute of every installation went by."""

    def build_extensions(self) -> None:
        """As without this class, but for the time."""
        compile_some = self.compiler.compile

        def compile_at_once(sources: Sequence[str], **options: Any) -> list[str]:
            with ThreadPoolExecutor(os.cpu_count()) as cores:
                made = cores.map(lambda source: compile_some([source], **options), sources)
                return [built for each in made for built in each]

        self.compiler.compile = compile_at_once
        super().build_extensions()


setup(
    cmdclass={"build_ext": BuildAtOnce},
    ext_modules=[
        Extension(
            "svlm_cli.model.kernels._native",
            sources(".cpp"),
            depends=sources(".h", ".inl"),
            language="c++",
            extra_compile_args=FLAGS + QUIET,
            extra_link_args=["-pthread"],
            optional=True,
        )
    ],
)
