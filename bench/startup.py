"""How long is it from a command to its answer?

Each command runs in a fresh process, in turn with a bare interpreter, so that the ratio to that interpreter
holds on any machine. Of the modules that cost most, a row names those that were loaded.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness import Options, Row, options, percentiles_of, record, row

HEAVY = ("torch", "sympy", "matplotlib", "pandas", "sklearn", "scipy", "numpy", "sqlalchemy", "rich")
BARE = "python -c pass"
WORDS = {
    "actlab --help": ("--help",),
    "actlab list": ("list",),
    "actlab show gelu": ("show", "gelu"),
    "actlab gain gelu": ("gain", "gelu"),
}
# The console script without its shebang: the same program on every system.
ENTER = "import sys; sys.argv[0] = 'actlab'; from actlab.cli import main; sys.exit(main())"
COMMANDS: Mapping[str, tuple[str, ...]] = {
    BARE: ("-c", "pass"),
    "import actlab": ("-c", "import actlab"),
    **{name: ("-c", ENTER, *words) for name, words in WORDS.items()},
}


@dataclass(frozen=True)
class Run:
    """The cost of one process."""

    seconds: float
    peak_bytes: int


def run(arguments: Sequence[str]) -> Run:
    """Run one fresh process, from its start to its end."""
    start = time.perf_counter()
    process = subprocess.Popen([sys.executable, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    complaint = process.stderr.read() if process.stderr else b""
    _, status, used = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{arguments} ended with {process.returncode}: {complaint.decode(errors='replace')}")
    return Run(seconds, used.ru_maxrss * 1024)  # Linux counts in kibibytes


def heavy_modules(arguments: Sequence[str]) -> list[str]:
    """List the heavy modules that the program has loaded when it ends."""
    loaded = f"(name for name in {HEAVY!r} if name in sys.modules)"
    tell = f"import atexit, sys; atexit.register(lambda: print(*{loaded}, file=sys.stderr)); "
    told = [arguments[0], tell + arguments[1], *arguments[2:]]
    done = subprocess.run([sys.executable, *told], capture_output=True, text=True, check=True)
    return done.stderr.splitlines()[-1].split()


def measured(asked: Options) -> list[Row]:
    for arguments in COMMANDS.values():
        run(arguments)  # the first run writes the bytecode
    rounds = [{name: run(arguments) for name, arguments in COMMANDS.items()} for _ in range(asked.repeats(15))]
    return [found for name in COMMANDS for found in rows_of(name, rounds)]


def rows_of(name: str, rounds: Sequence[Mapping[str, Run]]) -> list[Row]:
    """Measure one command: seconds, ratio to the bare interpreter of the same round, and peak memory."""
    loaded = " ".join(heavy_modules(COMMANDS[name]))
    kinds = {
        "s": [one[name].seconds for one in rounds],
        "ratio": [one[name].seconds / one[BARE].seconds for one in rounds],
        "bytes": [float(one[name].peak_bytes) for one in rounds],
    }
    note = f"loads {loaded}" if loaded else "loads nothing heavy"
    return [
        row("startup", name, unit=unit, measured=percentiles_of(values), note=note) for unit, values in kinds.items()
    ]


def main() -> None:
    asked = options(__doc__ or "")
    record("startup", measured(asked), asked=asked)


if __name__ == "__main__":
    main()
