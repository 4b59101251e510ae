"""What other libraries offer is found under the name that their users type."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional
from torch.nn.modules import activation as torch_modules

from actlab.catalog.frameworks import FRAMEWORKS
from actlab.catalog.index import CATALOG, get

# Left out on purpose.
TORCH_CLASSES_LEFT_OUT = {
    "MultiheadAttention": "a layer with weights, which applies softmax inside",
    "Softmax2d": "softmax with dim=-3",
}
TORCH_FUNCTIONS_LEFT_OUT = {
    "gumbel_softmax": "softmax of a random shift of its input: a sampler, not a function",
}
# The activation functions of torch.nn.functional, as its documentation groups them; the installed package is asked
# for each, and its in-place forms are derived.
TORCH_FUNCTIONS = """
threshold relu hardtanh hardswish relu6 elu selu celu leaky_relu prelu rrelu glu gelu logsigmoid hardshrink
tanhshrink softsign softplus softmin softmax softshrink gumbel_softmax log_softmax tanh sigmoid hardsigmoid silu
mish
"""

# Typed from the libraries' own lists: keras.activations 3.13, jax.nn 0.9, timm.layers.create_act 1.0, ACT2FN 5.
OFFERED = {
    "keras": """
        celu elu exponential gelu glu hard_shrink hard_sigmoid hard_silu hard_swish hard_tanh leaky_relu linear
        log_sigmoid log_softmax mish relu relu6 selu sigmoid silu soft_shrink softmax softplus softsign sparse_plus
        sparse_sigmoid sparsemax squareplus swish tanh tanh_shrink threshold LeakyReLU PReLU ReLU ELU Softmax
    """,
    "jax": """
        relu relu6 sigmoid softplus sparse_plus sparse_sigmoid soft_sign silu swish log_sigmoid leaky_relu hard_sigmoid
        hard_silu hard_swish hard_tanh elu celu selu gelu glu squareplus mish identity softmax log_softmax tanh
    """,
    "timm": """
        silu swish mish relu relu6 leaky_relu elu prelu celu selu gelu gelu_tanh quick_gelu sigmoid tanh hard_sigmoid
        hard_swish hard_mish identity hardsigmoid hardswish
    """,
    "transformers": """
        gelu gelu_10 gelu_fast gelu_new gelu_python gelu_pytorch_tanh gelu_python_tanh gelu_accurate hardswish laplace
        leaky_relu linear mish quick_gelu relu relu2 relu6 sigmoid silu sqrtsoftplus swish tanh prelu xielu
    """,
}
OFFERED_LEFT_OUT = {
    ("jax", "logsumexp"): "a reduction",
    ("jax", "standardize"): "a normalisation",
    ("jax", "one_hot"): "an encoding",
    ("jax", "dot_product_attention"): "a layer",
    ("keras", "deserialize"): "reads a configuration",
}

# Where another library means something else than PyTorch by the name, or has another default.
DIFFERENT = {
    "jax:gelu": "gelu_tanh",
    "jax:swish": "silu",
    "keras:leaky_relu": "leaky_relu(negative_slope=0.2)",
    "keras:LeakyReLU": "leaky_relu(negative_slope=0.3)",
    "keras:PReLU": "prelu(weight=0)",
    "keras:swish": "silu",
    "timm:swish": "silu",
    "hf:swish": "silu",
}


@pytest.mark.parametrize("name", torch_modules.__all__)
def test_torch_s_classes_are_found(name):
    if name in TORCH_CLASSES_LEFT_OUT:
        pytest.skip(TORCH_CLASSES_LEFT_OUT[name])
    act = get(name)
    assert get(f"torch:{name}") is act
    assert get(name.lower()) is act


@pytest.mark.parametrize("name", TORCH_FUNCTIONS.split())
def test_torch_s_functions_are_found(name):
    assert hasattr(functional, name)
    if name in TORCH_FUNCTIONS_LEFT_OUT:
        pytest.skip(TORCH_FUNCTIONS_LEFT_OUT[name])
    assert get(name) in CATALOG.values()


def test_torch_s_list_of_functions_is_whole():
    in_place = {name[:-1] for name in dir(functional) if name.endswith("_") and not name.startswith("_")}
    of_classes = {name.lower() for name in torch_modules.__all__} & {name.lower() for name in dir(functional)}
    assert in_place | of_classes <= {*TORCH_FUNCTIONS.split()}


@pytest.mark.parametrize("name", ["tanh", "sigmoid", "erf", "sin", "cos", "exp", "atan", "arctan", "relu", "softmax"])
def test_torch_s_own_functions_are_found(name):
    assert hasattr(torch, name)
    assert get(name) in CATALOG.values()


@pytest.mark.parametrize(
    ("framework", "name"), [(framework, name) for framework, names in OFFERED.items() for name in names.split()]
)
def test_what_a_library_offers_is_found(framework, name):
    assert get(f"{framework}:{name}").name in CATALOG


@pytest.mark.parametrize(("asked", "label"), DIFFERENT.items())
def test_another_library_s_meaning_is_taken(asked, label):
    assert get(asked).key == get(label).key


@pytest.mark.parametrize(
    ("framework", "name", "meaning"),
    [(framework, name, meaning) for framework, table in FRAMEWORKS.items() for name, meaning in table.items()],
)
def test_every_row_of_the_tables_is_read(framework, name, meaning):
    assert get(f"{framework}:{name}").key == get(meaning).key


def test_transformers_goes_by_its_short_name_too():
    assert FRAMEWORKS["hf"] == FRAMEWORKS["transformers"]


def test_names_left_out_on_purpose_are_not_found():
    for name in (*TORCH_CLASSES_LEFT_OUT, *TORCH_FUNCTIONS_LEFT_OUT):
        assert name not in CATALOG
    for framework, name in OFFERED_LEFT_OUT:
        assert name not in FRAMEWORKS[framework]
