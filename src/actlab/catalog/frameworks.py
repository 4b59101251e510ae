"""What other frameworks mean by a name, where their lists stand and what their defaults are.

A bare name means what PyTorch means by it, and so does a name after `torch:`.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

# jax.nn of JAX 0.4 to 0.9: gelu is the tanh approximation there unless asked otherwise.
_JAX = {
    "celu": "celu",
    "elu": "elu",
    "expit": "sigmoid",
    "gelu": "gelu_tanh",
    "glu": "glu",
    "hard_sigmoid": "hard_sigmoid",
    "hard_silu": "hard_swish",
    "hard_swish": "hard_swish",
    "hard_tanh": "hard_tanh",
    "identity": "identity",
    "leaky_relu": "leaky_relu",
    "log_sigmoid": "log_sigmoid",
    "log_softmax": "log_softmax",
    "mish": "mish",
    "relu": "relu",
    "relu6": "relu6",
    "selu": "selu",
    "sigmoid": "sigmoid",
    "silu": "silu",
    "soft_sign": "softsign",
    "softmax": "softmax",
    "softplus": "softplus",
    "sparse_plus": "sparse_plus",
    "sparse_sigmoid": "sparse_sigmoid",
    "squareplus": "squareplus",
    "swish": "silu",
    "tanh": "tanh",
}

# keras.activations of Keras 3; a layer whose default differs from its function's stands under its class name.
_KERAS = {
    "celu": "celu",
    "elu": "elu",
    "exponential": "exponential",
    "gelu": "gelu",
    "glu": "glu",
    "hard_shrink": "hard_shrink",
    "hard_sigmoid": "hard_sigmoid",
    "hard_silu": "hard_swish",
    "hard_swish": "hard_swish",
    "hard_tanh": "hard_tanh",
    "leaky_relu": "leaky_relu(negative_slope=0.2)",
    "LeakyReLU": "leaky_relu(negative_slope=0.3)",
    "linear": "identity",
    "log_sigmoid": "log_sigmoid",
    "log_softmax": "log_softmax",
    "mish": "mish",
    "PReLU": "prelu(weight=0)",
    "relu": "relu",
    "relu6": "relu6",
    "selu": "selu",
    "sigmoid": "sigmoid",
    "silu": "silu",
    "soft_shrink": "soft_shrink",
    "softmax": "softmax",
    "softplus": "softplus",
    "softsign": "softsign",
    "sparse_plus": "sparse_plus",
    "sparse_sigmoid": "sparse_sigmoid",
    "sparsemax": "sparsemax",
    "squareplus": "squareplus",
    "swish": "silu",
    "tanh": "tanh",
    "tanh_shrink": "tanh_shrink",
    "threshold": "threshold",
}

# timm.layers.create_act of timm 1.0.
_TIMM = {
    "celu": "celu",
    "elu": "elu",
    "gelu": "gelu",
    "gelu_tanh": "gelu_tanh",
    "hard_mish": "hard_mish",
    "hard_sigmoid": "hard_sigmoid",
    "hard_swish": "hard_swish",
    "hardsigmoid": "hard_sigmoid",
    "hardswish": "hard_swish",
    "identity": "identity",
    "leaky_relu": "leaky_relu",
    "mish": "mish",
    "prelu": "prelu",
    "quick_gelu": "quick_gelu",
    "relu": "relu",
    "relu6": "relu6",
    "selu": "selu",
    "sigmoid": "sigmoid",
    "silu": "silu",
    "swish": "silu",
    "tanh": "tanh",
}

# ACT2FN of Transformers 4 and 5. gelu_fast and gelu_accurate are gelu_tanh with sqrt(2/pi) to ten and more digits.
_TRANSFORMERS = {
    "gelu": "gelu",
    "gelu_10": "clipped_gelu",
    "gelu_accurate": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "gelu_new": "gelu_tanh",
    "gelu_python": "gelu",
    "gelu_python_tanh": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "hardswish": "hard_swish",
    "laplace": "laplace",
    "leaky_relu": "leaky_relu",
    "linear": "identity",
    "mish": "mish",
    "prelu": "prelu",
    "quick_gelu": "quick_gelu",
    "relu": "relu",
    "relu2": "relu2",
    "relu6": "relu6",
    "sigmoid": "sigmoid",
    "silu": "silu",
    "sqrtsoftplus": "sqrt_softplus",
    "swish": "silu",
    "tanh": "tanh",
    "xielu": "xielu",
}

# framework → the name its users type → the text that `get` reads
FRAMEWORKS: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "jax": MappingProxyType(_JAX),
        "keras": MappingProxyType(_KERAS),
        "timm": MappingProxyType(_TIMM),
        "transformers": MappingProxyType(_TRANSFORMERS),
        "hf": MappingProxyType(_TRANSFORMERS),
    }
)
