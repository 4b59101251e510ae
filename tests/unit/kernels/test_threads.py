"""Kernels after a fork, in a spawned worker and in teams of any size: the same bits, and nobody waits for ever."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch

from actlab.kernels.runtime import threads
from actlab.kernels.runtime.launch import PIECE, WORTH_A_TEAM, Grid
from actlab.nn import functional

PROGRAM = textwrap.dedent("""
    import hashlib, json, multiprocessing, os, sys
    import numpy as np
    import torch
    from actlab.kernels import explain
    from actlab.kernels.runtime.threads import threads
    from actlab.nn import functional

    def outcome():
        # by NumPy, because PyTorch's own parallel operations wait for ever in a forked child
        x = torch.from_numpy(np.linspace(-9, 9, 300_000, dtype=np.float32)).requires_grad_()
        y = functional("mish")(x)
        y.backward(torch.from_numpy(np.ones(300_000, dtype=np.float32)))
        bits = [hashlib.sha256(each.detach().numpy().tobytes()).hexdigest() for each in (y, x.grad)]
        return bits, threads(), explain("mish", x).threads

    def worker(queue):
        queue.put(outcome())

    if __name__ == "__main__":
        torch.set_num_threads(2)
        told = {"parent": outcome()}
        reading, writing = os.pipe()
        child = os.fork()
        if not child:
            os.write(writing, json.dumps(outcome()).encode())
            os._exit(0)
        os.close(writing)
        with os.fdopen(reading) as pipe:
            told["forked"] = json.loads(pipe.read())
        os.waitpid(child, 0)
        told["afterwards"] = outcome()
        if "spawn" in sys.argv:
            context = multiprocessing.get_context("spawn")
            queue = context.Queue()
            process = context.Process(target=worker, args=(queue,))
            process.start()
            told["spawned"] = queue.get(timeout=30)
            process.join()

            class Rows(torch.utils.data.Dataset):
                def __len__(self):
                    return 2

                def __getitem__(self, at):
                    return outcome()[0]

            loader = torch.utils.data.DataLoader(Rows(), batch_size=1, num_workers=1, multiprocessing_context="fork")
            told["loaded"] = [[bits[0] for bits in batch] for batch in loader]
        print(json.dumps(told))
""")


def told(tmp_path: Path, *words: str) -> dict[str, object]:
    """What the program says; it is a file, so that a spawned process can import it."""
    program = tmp_path / "program.py"
    program.write_text(PROGRAM, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", str(program), *words],
        capture_output=True, text=True, timeout=60, check=False, env={**os.environ, "OMP_NUM_THREADS": "2"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")


@needs_fork
def test_a_forked_child_runs_in_one_thread_and_its_parent_in_as_many_as_before(tmp_path: Path) -> None:
    found = told(tmp_path)
    bits, team, explained = found["parent"]  # type: ignore[misc]  # three values, by way of JSON
    assert team == explained == (2 if threads.layer().name == "openmp" else 1)
    assert found["forked"] == [bits, 1, 1]
    assert found["afterwards"] == found["parent"]


@pytest.mark.slow
@needs_fork
def test_a_spawned_worker_and_a_loaders_worker_give_the_same_bits(tmp_path: Path) -> None:
    found = told(tmp_path, "spawn")
    bits = found["parent"][0]  # type: ignore[index]  # as above
    assert found["spawned"][0] == bits  # type: ignore[index]  # as above
    assert found["loaded"] == [bits, bits]


def test_the_team_is_as_large_as_pytorch_says_at_the_time() -> None:
    if threads.layer().parallel is None:
        pytest.skip("there is no OpenMP library to make a team of")
    before = torch.get_num_threads()
    try:
        for count in (1, 3, 2):
            torch.set_num_threads(count)
            assert threads.threads() == count
    finally:
        torch.set_num_threads(before)


def test_without_openmp_kernels_run_in_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.linspace(-9, 9, WORTH_A_TEAM + 1)
    before, wanted = torch.get_num_threads(), functional("mish")(x)
    threads.layer.cache_clear()
    monkeypatch.setattr(threads, "_candidates", lambda: [Path("/no/such/library.so")])
    try:
        torch.set_num_threads(2)
        assert threads.layer().name == "serial"
        assert threads.threads() == 1
        assert torch.equal(functional("mish")(x), wanted)
    finally:
        torch.set_num_threads(before)
        threads.layer.cache_clear()


@pytest.mark.parametrize(
    ("grid", "pieces", "segments"),
    [
        (Grid(1, 1, 0), 1, 1),
        (Grid(1, 1, 1), 1, 1),
        (Grid(1, 1, PIECE), 1, 1),
        (Grid(1, 1, PIECE + 1), 2, 2),
        (Grid(7, 3, 2 * PIECE), 2, 42),
        (Grid(0, 3, 5), 1, 0),
    ],
)
def test_work_is_cut_by_size_alone(grid: Grid, pieces: int, segments: int) -> None:
    assert (grid.pieces, grid.segments) == (pieces, segments)
    assert grid.elements == grid.rows * grid.channels * grid.row
