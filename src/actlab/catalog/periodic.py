"""Activations with a periodic part."""

from __future__ import annotations

from actlab.catalog.self_gated import gelu
from actlab.formula.activation import activation
from actlab.formula.atoms import cos, pi, sin, sinc
from actlab.formula.param import Param


@activation(
    source="Sitzmann, Martel, Bergman, Lindell, Wetzstein 2020, SIREN, arXiv:2006.09661",
    aliases=("sin",),
    reference="torch.sin",
    note="SIREN uses omega = 30 in its first layer.",
)
def sine(x, omega=Param(1.0)):
    """The sine of omega*x."""
    return sin(omega * x)


@activation(source="Gashler, Ashmore 2014, arXiv:1405.2262", aliases=("cos",), reference="torch.cos")
def cosine(x):
    """The cosine."""
    return cos(x)


@activation(source="NumPy without the factor pi", known={0: 1, 1: 0.8414709848078965, -4: -0.18920062382698205})
def sinc_(x):
    """sin(x)/x, and 1 at 0."""
    return sinc(x)


@activation(
    source="Ziyin, Hartwig, Ueda 2020, arXiv:2006.08195, eq. 3",
    known={-1.5: -0.5050037516997773, 0.5: 0.7298488470659301, 2: 2.826821810431806},
)
def snake(x, alpha=Param(1.0, trainable=True, above=0)):
    """The identity with a ripple: x + sin(alpha*x)**2/alpha."""
    return x + sin(alpha * x) ** 2 / alpha


@activation(
    source="Noel, Arunkumar, Trivedi, Dutta 2021, arXiv:2108.12943",
    aliases=("gcu",),
    known={-1.5: -0.10610580250155437, 0.5: 0.4387912809451864, 2: -0.8322936730942848},
)
def growing_cosine(x):
    """The input times its cosine, an oscillation that grows."""
    return x * cos(x)


@activation(
    source="Vitvitskyi et al. 2026, arXiv:2602.05688",
    known={-1.5: -0.19996030056369254, 0.5: 0.39367378449742685, 2: 2.0454294787862097},
)
def gelu_sine(x):
    """gelu with a small sine added."""
    return gelu(x) + 0.1 * sin(x)


@activation(
    source="Vitvitskyi et al. 2026, arXiv:2602.05688",
    aliases=("gelu_sinc_perturbation",),
    known={-1.5: -0.0895781055872132, 0.5: 0.455780899311254, 2: 1.9544997361036416},
    note="Its sinc is the normalized one of NumPy and JAX, sin(pi*x)/(pi*x).",
)
def gelu_sinc(x):
    """gelu, raised near 0 by a normalized sinc."""
    return gelu(x) * (1 + sinc(pi * x) / 2)
