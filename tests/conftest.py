"""What holds for every test."""

from __future__ import annotations

import os

# Before any test imports torch, and inherited by every process a test starts: several pytest processes on few
# cores are fastest with one thread each, and a sum then has one order.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "agg")

from hypothesis import settings

# No deadline, because no test is timed; the same examples each time, so that a failure is seen twice.
settings.register_profile("actlab", deadline=None, derandomize=True)
settings.load_profile("actlab")
