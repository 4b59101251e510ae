"""AL308: a random activation in evaluation mode."""

from __future__ import annotations

import ast
import linecache
from collections.abc import Iterator
from functools import lru_cache

from actlab.rules.construction.layers import DROPOUTS
from actlab.rules.context import Context
from actlab.rules.dataflow import spot_of
from actlab.rules.rule import Found, found, rule
from actlab.sites.site import Site, Spot
from actlab.sites.trace.trace import Step

_PLACE_OF_TRAINING = 3  # F.dropout(input, p, training)
_RANDOM = frozenset({"rrelu", "activation"})  # actlab's own activations have the argument only if they are random


@rule(
    "AL308",
    title="random activation in evaluation mode",
    severity="warning",
    remedies=("call-eval",),
)
def random_in_eval(context: Context) -> Iterator[Found]:
    """Rrelu or another random activation, or a dropout, stays random in evaluation mode.

    Why it matters:
        rrelu draws its negative slope at every call while training and uses the mean in evaluation mode. Called as a
        function with `training=True` it stays random: the same input gives different outputs at every call.
        `F.dropout(x)` does so unless `training=self.training` is passed.

    How it is detected:
        The model is run once in evaluation mode, and a call of a random activation still has `training=True`, or a
        call of a dropout does not pass `training`. A dropout with `training=True` is left on on purpose.

    Example:
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.hidden, self.head = nn.Linear(4, 16), nn.Linear(16, 3)

            def forward(self, x):
                return self.head(F.rrelu(self.hidden(x), training=True))

        model = Net()
        batch = torch.randn(32, 4), torch.randint(3, (32,))
        loss = nn.CrossEntropyLoss()

    Use instead:
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.hidden, self.head = nn.Linear(4, 16), nn.Linear(16, 3)

            def forward(self, x):
                return self.head(F.rrelu(self.hidden(x), training=self.training))

        model = Net()
        batch = torch.randn(32, 4), torch.randint(3, (32,))
        loss = nn.CrossEntropyLoss()

    References:
        Xu et al. 2015, arXiv:1505.00853
    """
    trace = context.evaluated
    for step in () if trace is None else trace.steps:
        if step.function in _RANDOM and step.arguments.get("training") is True and trace is not None:
            site = trace.site_at(step)
            yield _random(step.function if site is None else site.activation, site)
        elif step.function in DROPOUTS and step.part == "model" and _is_left_on(step):
            yield _random(step.function, spot_of(step))


def _is_left_on(step: Step) -> bool:
    """Return whether a dropout is on because the code does not say otherwise; `training=True` is on purpose."""
    is_on = step.arguments.get("training", True) is True and step.arguments.get("p", 0.5) != 0
    return is_on and step.spelling.startswith("F.") and any(
        len(call.args) < _PLACE_OF_TRAINING and not any(each.arg in {"training", None} for each in call.keywords)
        for call in _calls(step.file, step.line, step.function)
    )  # fmt: skip


def _calls(file: str, line: int, name: str) -> Iterator[ast.Call]:
    """Yield the calls of a function of this name that stand on the line; none if the source is unknown."""
    for node in ast.walk(_parsed("".join(linecache.getlines(file)))):
        if not isinstance(node, ast.Call) or not node.lineno <= line <= (node.end_lineno or line):
            continue
        if ast.unparse(node.func).rpartition(".")[2] == name:
            yield node


@lru_cache(maxsize=64)
def _parsed(source: str) -> ast.AST:
    try:
        return ast.parse(source)
    except SyntaxError:
        return ast.Module([], [])


def _random(name: str, site: Site | Spot | None) -> Found:
    return found(
        f"{name} is random although the model is in evaluation mode: the same input gives different outputs at every"
        " call.",
        site=site,
    )
