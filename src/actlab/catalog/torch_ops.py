"""PyTorch's activations: one row for every activation of the catalog that PyTorch has too.

Everything that maps a module, function or argument of PyTorch to an activation derives it from these rows. They hold
names only, because the catalog does not import PyTorch; `nn/torch_modules.py` resolves them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import final

from actlab.catalog.index import CATALOG
from actlab.formula.activation import Activation


@final
@dataclass(frozen=True)
class TorchOp:
    """How PyTorch spells one activation.

    Attributes:
        activation: its name in the catalog, whose declaration names PyTorch's function as the reference.
        module: the name of its class in `torch.nn`; empty if it has none.
        arguments: the function's arguments after the input, in order. One that bears the name of a parameter sets it.
        only_with: the arguments that distinguish it from another activation of the same function.
        aliases: other names of the function.
        is_arithmetic: whether the function is plain mathematics too, and an activation only behind weights.
        differentiates_output: whether PyTorch's backward pass computes the derivative from the rounded output.
    """

    activation: str
    module: str = ""
    arguments: tuple[str, ...] = ()
    only_with: Mapping[str, object] = field(default_factory=dict, hash=False)
    aliases: tuple[str, ...] = ()
    is_arithmetic: bool = False
    differentiates_output: bool = False

    @property
    def path(self) -> str:
        """The dotted path of the function, such as `torch.nn.functional.relu`."""
        reference = CATALOG[self.activation].reference
        assert reference is not None
        return reference.partition("(")[0]

    @property
    def function(self) -> str:
        """The name of the function, such as `relu`."""
        return self.path.rpartition(".")[2]


TORCH_OPS: tuple[TorchOp, ...] = (
    TorchOp("relu", "ReLU"),
    TorchOp("relu6", "ReLU6"),
    TorchOp("leaky_relu", "LeakyReLU", ("negative_slope",)),
    TorchOp("prelu", "PReLU", ("weight",)),
    TorchOp("rrelu", "RReLU", ("lower", "upper", "training")),
    TorchOp("threshold", "Threshold", ("threshold", "value")),
    TorchOp("sigmoid", "Sigmoid", aliases=("special_expit",), differentiates_output=True),
    TorchOp("hard_sigmoid", "Hardsigmoid"),
    TorchOp("log_sigmoid", "LogSigmoid", aliases=("log_sigmoid",)),
    TorchOp("tanh", "Tanh", differentiates_output=True),
    TorchOp("hard_tanh", "Hardtanh", ("min_val", "max_val")),
    TorchOp("softsign", "Softsign"),
    TorchOp("elu", "ELU", ("alpha",)),
    TorchOp("celu", "CELU", ("alpha",)),
    TorchOp("selu", "SELU"),
    TorchOp("softplus", "Softplus", ("beta", "threshold")),
    TorchOp("gelu", "GELU", ("approximate",), only_with={"approximate": "none"}),
    TorchOp("gelu_tanh", "GELU", ("approximate",), only_with={"approximate": "tanh"}),
    TorchOp("silu", "SiLU"),
    TorchOp("hard_swish", "Hardswish"),
    TorchOp("mish", "Mish"),
    TorchOp("soft_shrink", "Softshrink", ("lambd",)),
    TorchOp("hard_shrink", "Hardshrink", ("lambd",)),
    TorchOp("tanh_shrink", "Tanhshrink"),
    TorchOp("glu", "GLU", ("dim",)),
    TorchOp("softmax", "Softmax", ("dim", "dtype"), aliases=("special_softmax",)),
    TorchOp("log_softmax", "LogSoftmax", ("dim", "dtype"), aliases=("special_log_softmax",)),
    TorchOp("softmin", "Softmin", ("dim", "dtype")),
    TorchOp("sine", is_arithmetic=True),
    TorchOp("cosine", is_arithmetic=True),
    TorchOp("exponential", is_arithmetic=True),
    TorchOp("erf", aliases=("special_erf",), is_arithmetic=True),
    TorchOp("arctan", aliases=("arctan",), is_arithmetic=True),
)


def is_pointwise(op: TorchOp) -> bool:
    """Return whether the activation has one input and acts on every element alone."""
    act = CATALOG[op.activation]
    return isinstance(act, Activation) and len(act.inputs) == 1
