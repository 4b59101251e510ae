"""The same function in atoms that keep their tails: `log(1 + exp(x))` is `softplus(x)`, `1/(1 + exp(-x))` its sigmoid.

What a user types is mathematics; computed step by step it overflows or rounds away what the function still has. Only
identities that hold for all real numbers are used, and only where the left side loses digits or range; everything
else stays as it was written.
"""

from __future__ import annotations

from collections.abc import Mapping

from actlab.formula.atoms import log, log1p
from actlab.formula.expr import Call, Expr, Node, walk
from actlab.formula.identities import u
from actlab.formula.rewrite import matched, opposite, settled, signed
from actlab.formula.substitute import rebuilt


def with_tails(root: Expr) -> Expr:
    """Return the formula in atoms that stay finite and keep their tails.

    Example:
        >>> from actlab.formula.parser import parse
        >>> from actlab.formula.text import text
        >>> [text(with_tails(parse(each))) for each in ("x*tanh(log(1 + exp(x)))", "x/(1 + exp(-x))", "exp(x) - 2")]
        ['x*tanh(softplus(x))', 'x*sigmoid(x)', 'exp(x) - 2']
    """
    done: dict[Node, Node] = {}
    for node in walk(root):
        new = _log_beside_one(node, done) or rebuilt(node, done)
        done[node] = settled(new) if isinstance(new, Expr) else new
    result = done[root]
    assert isinstance(result, Expr)
    return result


def _log_beside_one(node: Node, done: Mapping[Node, Node]) -> Expr | None:
    """Return log(1 ± u) as log1p: near 0 it keeps digits that every other form of 1 ± u has rounded away.

    It is not a row of the table: it must come before the rows for 1 + u, and after those for 1 - u.
    """
    if not isinstance(node, Call) or node.atom != "log":
        return None
    for pattern, is_less in _LOGS:
        found = matched(pattern, node)
        if found is not None:
            part = done.get(found[u], found[u])
            assert isinstance(part, Expr)
            part = opposite(part) if is_less else part
            sign, core = signed(part)
            complement = 1 - core
            return log1p(part) if sign > 0 or settled(complement) == complement else None
    return None


_LOGS = ((log(1 + u), False), (log(1 - u), True))
