"""Machine code in memory: as small as it is, however many formulas there are."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_formula_keeps_little_more_than_its_code(tmp_path: Path) -> None:
    script = """
        import os
        import torch
        import actlab

        def megabytes():
            with open("/proc/self/statm") as file:
                return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE") / 1e6

        def run(count, start):
            for at in range(count):
                actlab.functional(f"x*sigmoid({start + at / 97!r}*x)")(torch.ones(10))

        run(6, 1.0)
        before = megabytes()
        run(10, 2.0)
        print((megabytes() - before) / 10)
    """
    run = [sys.executable, "-c", textwrap.dedent(script)]
    fresh = os.environ | {"ACTLAB_CACHE": str(tmp_path)}  # so that code is made and not read
    done = subprocess.run(run, capture_output=True, text=True, check=True, timeout=120, env=fresh)
    # 15 MB with all that LLVM makes code with
    assert float(done.stdout) < 5
