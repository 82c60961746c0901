"""The compiled kernels: built where there is a C++ compiler, left out where there is none.

In a checkout: ``python setup.py build_ext --inplace``.
"""

from pathlib import Path

from setuptools import Extension, setup

ROOM = "svlm_cli/model/kernels/source"
FLAGS = ["-O3", "-g0", "-std=c++17", "-fvisibility=hidden", "-pthread"]
# Vectors pass between inlined functions only; GCC's own AVX-512 headers begin with a value that is undefined.
QUIET = ["-Wno-psabi", "-Wno-maybe-uninitialized", "-Wno-uninitialized"]


def sources(*endings: str) -> list[str]:
    """Files of the room by their endings, relative to this one."""
    root = Path(__file__).parent
    found = (path for ending in endings for path in (root / ROOM).glob(f"*{ending}"))
    return sorted(str(path.relative_to(root)) for path in found)


setup(
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
    ]
)
