"""PyTorch's own activation modules, by the catalog's names."""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn

# MultiheadAttention is no activation; softmax and its kin act along an axis and stand for attention or an output.
TORCH_NAMES: Mapping[type[nn.Module], str] = {
    nn.CELU: "celu",
    nn.ELU: "elu",
    nn.GELU: "gelu",
    nn.Hardshrink: "hard_shrink",
    nn.Hardsigmoid: "hard_sigmoid",
    nn.Hardswish: "hard_swish",
    nn.Hardtanh: "hard_tanh",
    nn.LeakyReLU: "leaky_relu",
    nn.LogSigmoid: "log_sigmoid",
    nn.Mish: "mish",
    nn.PReLU: "prelu",
    nn.ReLU: "relu",
    nn.ReLU6: "relu6",
    nn.RReLU: "rrelu",
    nn.SELU: "selu",
    nn.Sigmoid: "sigmoid",
    nn.SiLU: "silu",
    nn.Softplus: "softplus",
    nn.Softshrink: "soft_shrink",
    nn.Softsign: "softsign",
    nn.Tanh: "tanh",
    nn.Tanhshrink: "tanh_shrink",
    nn.Threshold: "threshold",
}
