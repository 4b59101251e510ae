"""The arms that no other arm beats in both result and cost."""

from __future__ import annotations

from collections.abc import Mapping


def front(gains: Mapping[str, float], costs: Mapping[str, float]) -> tuple[str, ...]:
    """Return the arms of the Pareto front, the cheapest first; an arm without a cost is left out.

    An arm is on the front unless another one gains at least as much for at most as much, and is better in one of both.

    Args:
        gains: what every arm gains, more is better.
        costs: what it costs.

    Example:
        >>> front({"a": 1.0, "b": 3.0, "c": 2.0}, {"a": 1.0, "b": 2.0, "c": 2.0})
        ('a', 'b')
    """

    def is_beaten(arm: str) -> bool:
        return any(
            gains[other] >= gains[arm]
            and costs[other] <= costs[arm]
            and (gains[other] > gains[arm] or costs[other] < costs[arm])
            for other in costs
        )

    return tuple(sorted((arm for arm in costs if not is_beaten(arm)), key=lambda arm: costs[arm]))
