"""What torch keeps of products of many sizes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from svlm_cli.model.device import KEPT_SIZES, keep_few_sizes

_PRODUCTS = """
import torch
from svlm_cli.model.device import keep_few_sizes
if {bounded}:
    keep_few_sizes()
packed = torch.ops.mkldnn._reorder_linear_weight(torch.randn(32, 64), 1)
def multiply(rows):
    torch.ops.mkldnn._linear_pointwise.default(torch.randn(rows, 64), packed, None, "none", [], "")
for rows in range(1, 101):
    multiply(rows)
print("again", flush=True)
multiply(1)
"""


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="torch has no oneDNN")
@pytest.mark.parametrize("bounded", [True, False])
def test_products_of_sizes_long_gone_are_forgotten(bounded: bool, tmp_path: Path) -> None:
    """Also behind the import of torch; without a bound the first is still kept after a hundred others."""
    environment = {name: value for name, value in os.environ.items() if name not in KEPT_SIZES}
    done = subprocess.run(
        [sys.executable, "-c", _PRODUCTS.format(bounded=bounded)],
        env=environment | {"ONEDNN_VERBOSE": "profile_create", "PYTHONPATH": os.pathsep.join(sys.path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    first, again = done.stdout.split("again\n")
    assert first.count("create:cache_miss") >= 100
    assert ("create:cache_miss" in again) is bounded


def test_what_the_user_has_set_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = KEPT_SIZES
    monkeypatch.setenv(first, "7")
    monkeypatch.delenv(second, raising=False)
    keep_few_sizes()
    assert (os.environ[first], os.environ[second]) == ("7", KEPT_SIZES[second])
