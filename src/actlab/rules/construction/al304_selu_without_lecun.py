"""AL304: selu without the weight initialization it relies on."""

from __future__ import annotations

from collections.abc import Iterator

from actlab.rules.construction.layers import module_of
from actlab.rules.construction.stages import stages
from actlab.rules.context import Context
from actlab.rules.rule import Found, found, rule


@rule(
    "AL304",
    title="selu without LeCun initialization",
    severity="warning",
    remedies=("lecun-init",),
)
def selu_without_lecun(context: Context, *, lecun_factor: float = 1.5) -> Iterator[Found]:
    """Layers before selu are initialized with a variance other than 1/fan_in.

    Why it matters:
        selu preserves mean 0 and variance 1 from layer to layer only if weights have mean 0 and variance 1/fan_in
        (LeCun). With other variances activations leave this fixed point and do not normalize themselves.

    How it is detected:
        From the weights of the layers right before selu, before any training. With fewer than four such layers the
        finding is information.

    Thresholds:
        lecun_factor: by how much fan_in times the variance may differ from 1. The fixed point attracts variances within
            about this factor (the map contracts by 0.79).

    Example:
        model = nn.Sequential(nn.Linear(4, 32), nn.SELU(), nn.Linear(32, 3))
        nn.init.kaiming_normal_(model[0].weight, nonlinearity="relu")
        batch = torch.randn(32, 4), torch.randint(3, (32,))
        loss = nn.CrossEntropyLoss()

    Use instead:
        model = nn.Sequential(nn.Linear(4, 32), nn.SELU(), nn.Linear(32, 3))
        nn.init.kaiming_normal_(model[0].weight, nonlinearity="linear")
        batch = torch.randn(32, 4), torch.randint(3, (32,))
        loss = nn.CrossEntropyLoss()

    References:
        Klambauer et al. 2017, arXiv:1706.02515
    """
    selus = [stage for stage in stages(context) if stage.site.activation == "selu"]
    off = [stage for stage in selus if not 1 / lecun_factor <= stage.scale <= lecun_factor]
    if off and context.is_fresh:
        is_shallow = len(selus) < context.settings.fewest_layers
        yield found(
            "selu preserves mean 0 and variance 1 only after weights of variance 1/fan_in, but"
            f" {len(off)} of {len(selus)} layers before selu differ; the first has {off[0].scale:.2f}/fan_in.",
            site=off[0].site,
            severity="information" if is_shallow else "warning",
            variance_times_fan_in=[round(stage.scale, 4) for stage in off],
            layers=[module_of(context, stage.layer) for stage in off],
            places=len(selus),
        )
