"""Findings about what a model applies against what its mode, its configuration or its dtype want."""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn

from actlab.rules.context import Context, finding
from actlab.rules.finding import Finding

_GELUS = {
    "gelu": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "gelu_python_tanh": "gelu_tanh",
    "gelu_accurate": "gelu_tanh",
}
_DRAWING = frozenset({"rrelu", "activation"})  # of ours only those that draw say so
_SETTINGS = ("hidden_act", "activation_function", "hidden_activation", "activation")


def random_in_eval(context: Context) -> Iterator[Finding]:
    """AL308: an activation that draws though the model evaluates."""
    trace = context.evaluated
    for step in () if trace is None else trace.steps:
        if step.function in _DRAWING and step.arguments.get("training") is True and trace is not None:
            site = trace.site_at(step)
            yield finding(
                "AL308",
                f"{step.function if site is None else site.activation} draws at random though the model is in"
                " evaluation mode: the same input gives other answers at every call.",
                site=site,
            )


def other_gelu(context: Context) -> Iterator[Finding]:
    """AL309: a gelu of another variant than the configuration of the model around it says."""
    configured = _configured(context.model)
    for site in context.trace.sites:
        path = next((path for path in configured if not path or f"{site.path}.".startswith(f"{path}.")), None)
        said = None if path is None else configured[path]
        wanted = _GELUS.get(said or "")
        if wanted is not None and site.activation in {"gelu", "gelu_tanh"} and site.activation != wanted:
            yield finding(
                "AL309",
                f"the configuration says '{said}', which is {wanted}, and {site.activation} is applied: at every layer"
                " up to 5e-4 apart from what the checkpoint was trained with.",
                site=site,
                configured=said,
                applied=site.activation,
            )


def _configured(model: nn.Module) -> dict[str, str]:
    """What configurations say, by the module that has one, the innermost first."""
    found = {}
    for path, module in model.named_modules():
        said = [getattr(getattr(module, "config", None), name, None) for name in _SETTINGS]
        texts = [text for text in said if isinstance(text, str)]
        if texts:
            found[path] = texts[0]
    return dict(sorted(found.items(), key=lambda item: -len(item[0])))


def zero_in_dtype(context: Context) -> Iterator[Finding]:
    """AL310: a gradient that only the dtype makes 0, over much of the input."""
    for place, found in context.observed.zeros.items():
        site = context.trace.site_at(context.trace.steps[place])
        share = found.zeros / max(found.numbers, 1)
        if site is not None and share > context.settings.zero_gradient_share:
            yield finding(
                "AL310",
                f"in {found.dtype} PyTorch's gradient of {site.activation} is exactly 0 at {found.zeros} of"
                f" {found.numbers} inputs where the true one is not: nothing is learned from them.",
                site=site,
                share=share,
                numbers=found.numbers,
                dtype=found.dtype,
            )


RULES = (random_in_eval, other_gelu, zero_in_dtype)
