"""AL309: a variant of gelu other than the one in the model's configuration."""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn

from actlab.rules.context import Context
from actlab.rules.declared import declared_in
from actlab.rules.rule import Found, found, rule

_VARIANTS = frozenset({"gelu", "gelu_tanh"})


@rule(
    "AL309",
    title="gelu variant differs from the configuration",
    severity="warning",
    remedies=("match-config",),
)
def gelu_variant_differs(context: Context) -> Iterator[Found]:
    """Gelu is applied although the configuration names its tanh approximation, or the reverse.

    Why it matters:
        gelu and its tanh approximation differ by up to 5e-4. A checkpoint that was trained with one and runs with the
        other is a slightly different model at every layer.

    How it is detected:
        The activation applied is compared with the name in the `config` of the innermost module that has one, in the
        names that Transformers uses.

    Example:
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.config = type("Config", (), {"hidden_act": "gelu_new"})
                self.body = nn.Sequential(nn.Linear(4, 16), nn.GELU(), nn.Linear(16, 3))

            def forward(self, x):
                return self.body(x)

        model = Net()
        batch = torch.randn(32, 4), torch.randint(3, (32,))
        loss = nn.CrossEntropyLoss()

    Use instead:
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.config = type("Config", (), {"hidden_act": "gelu_new"})
                self.body = nn.Sequential(nn.Linear(4, 16), nn.GELU(approximate="tanh"), nn.Linear(16, 3))

            def forward(self, x):
                return self.body(x)

        model = Net()
        batch = torch.randn(32, 4), torch.randint(3, (32,))
        loss = nn.CrossEntropyLoss()

    References:
        Hendrycks, Gimpel 2016, arXiv:1606.08415
    """
    configured = _configured(context.model)
    for site in context.trace.sites:
        path = next((path for path in configured if not path or f"{site.path}.".startswith(f"{path}.")), None)
        if path is None:
            continue
        name, expected = configured[path]
        if expected in _VARIANTS and site.activation in _VARIANTS and site.activation != expected:
            yield found(
                f"the configuration names '{name}' ({expected}), but {site.activation} is applied: outputs differ by up"
                " to 5e-4 at every layer from those that the checkpoint was trained with.",
                site=site,
                configured=name,
                applied=site.activation,
            )


def _configured(model: nn.Module) -> dict[str, tuple[str, str]]:
    """Return the name and the activation in each configuration by the path of its module, innermost first."""
    found_names = {}
    for path, module in model.named_modules():
        named = [one for one in declared_in(getattr(module, "config", None)) if not one.part]
        if named:
            found_names[path] = named[0].name, named[0].activation.name
    return dict(sorted(found_names.items(), key=lambda item: -len(item[0])))
