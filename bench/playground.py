"""How many steps a second does the playground make, while a page gets its frames?

The training is that of the server: one thread, at most twelve frames a second, each of them written as JSON.
"""

from __future__ import annotations

import time

from harness import Options, Row, options, percentiles_of, record, row

from actlab.train.playground.state import Layer, State
from actlab.web.answers import json_text
from actlab.web.feeds import Feeds
from actlab.web.playground_sessions import LAP, Sessions, feed_of

CASES = {
    "two layers of 8, tanh": State(pace=0),
    "two layers of 8, a formula": State(
        pace=0, layers=(Layer(8, "x*sigmoid(1.702*x)"), Layer(8, "x*sigmoid(1.702*x)"))
    ),
    "two layers of 8, ReLU, batch normalization, Adam": State(
        pace=0, layers=(Layer(8, "relu", "batch"), Layer(8, "relu", "batch")), optimizer="adam", rate=0.01
    ),
}


def rates(state: State, *, repeats: int, seconds: float) -> tuple[list[float], int]:
    """Measure the steps a second in several spans of a training, and count the frames in all of them."""
    feeds = Feeds()
    sessions = Sessions(feeds)
    name = sessions.start(state)
    feed = feeds.get(feed_of(name))
    assert feed is not None
    found, frames = [], 0
    time.sleep(seconds)
    for _ in range(repeats):
        first, version, begin = feed.value["step"], feed.version, time.perf_counter()
        while time.perf_counter() - begin < seconds:
            time.sleep(0.05)
            json_text(feed.value)
        last = feed.value
        if not last["playing"] and last["step"] % LAP == 0:
            sessions.get(name).play()
        found.append((last["step"] - first) / (time.perf_counter() - begin))
        frames += feed.version - version
    sessions.close()
    return found, frames


def measured(*, asked: Options) -> list[Row]:
    repeats, seconds = (2, 0.3) if asked.quick else (5, 2.0)
    rows = []
    for case, state in CASES.items():
        found, frames = rates(state, repeats=repeats, seconds=seconds)
        note = f"batch of {state.batch}, float64, 1 thread; {frames / repeats / seconds:.1f} frames a second"
        spread = percentiles_of(found)
        rows.append(row("steps of a playground", case, unit="steps/s", measured=spread, dtype="float64", note=note))
    return rows


def main() -> None:
    asked = options(__doc__ or "")
    record("playground", measured(asked=asked), asked=asked)


if __name__ == "__main__":
    main()
