"""How many seeds to go on to when a comparison is undecided."""

from __future__ import annotations

from actlab.study.again import is_again
from actlab.study.comparison import Comparison
from actlab.study.more_seeds import CAP
from actlab.study.plan import ALPHA
from actlab.study.power import seeds_needed
from actlab.study.verdict import UNDECIDED


def seeds_to_settle(comparison: Comparison) -> int | None:
    """Return the number of seeds in all that should settle every undecided arm.

    It is None if no arm is undecided, if no arm learns, if more than 200 seeds would be needed, or if the plan has no
    error left to spend on another look.
    """
    if not any(2 * arm.learned >= len(arm.tests) for arm in comparison.arms):
        return None
    more = [arm.more_seeds for arm in comparison.arms if arm.verdict == UNDECIDED and not is_again(arm.activation)]
    wanted = [seeds for seeds in more if seeds is not None]
    plan = comparison.plan
    if not wanted or len(wanted) < len(more) or plan.alpha >= ALPHA:
        return None
    least = seeds_needed(plan.comparisons, alpha=plan.looks[comparison.look].alpha)
    total = max(len(comparison.control.tests) + max(wanted), least)
    return total if total <= CAP else None
