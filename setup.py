"""The compiled kernels: built where there is a C++ compiler, left out where there is none.

In a checkout: ``python setup.py build_ext --inplace``.
"""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import CompileError

ROOM = "svlm_cli/model/kernels/source"
FLAGS = ["-O3", "-g0", "-std=c++17", "-fvisibility=hidden", "-pthread"]
# Vectors pass between inlined functions only; GCC's own AVX-512 headers begin with a value that is undefined.
QUIET = ["-Wno-psabi", "-Wno-maybe-uninitialized", "-Wno-uninitialized"]


def sources(*endings: str) -> list[str]:
    """Files of the room by their endings, relative to this one."""
    root = Path(__file__).parent
    found = (path for ending in endings for path in (root / ROOM).glob(f"*{ending}"))
    return sorted(str(path.relative_to(root)) for path in found)


# Products of tiles need a compiler and an assembler that know of them, and a system that keeps them.
TILES = """
#if !defined(__x86_64__) || !defined(__linux__)
#error no tiles
#endif
#include <immintrin.h>
__attribute__((target("amx-tile,amx-bf16"))) void use() { _tile_dpbf16ps(0, 1, 2); }
"""


class BuildAtOnce(build_ext):
    """Compiles a file on each core: one after another, half a minute of every installation went by."""

    def build_extensions(self) -> None:
        """As without this class, but for the time, and with tiles where they can be compiled."""
        if self._knows_tiles():
            self.compiler.define_macro("SVLM_HAS_AMX", "1")
        compile_some = self.compiler.compile

        def compile_at_once(sources: Sequence[str], **options: Any) -> list[str]:
            with ThreadPoolExecutor(os.cpu_count()) as cores:
                made = cores.map(lambda source: compile_some([source], **options), sources)
                return [built for each in made for built in each]

        self.compiler.compile = compile_at_once
        super().build_extensions()

    def _knows_tiles(self) -> bool:
        with TemporaryDirectory() as folder:
            source = Path(folder, "tiles.cpp")
            source.write_text(TILES, encoding="utf-8")
            try:
                self.compiler.compile([str(source)], output_dir=folder)
            except CompileError:
                return False
            return True


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
