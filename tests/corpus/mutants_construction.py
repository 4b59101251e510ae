"""B: one line wrong in how a network is put together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from corpus.data import blobs, curve, pictures, token_classes, tokens
from corpus.optimisers import adam, adamw, sgd
from corpus.program import Case, twins
from corpus.skeletons import perceptron


@twins("Two linear layers of a Sequential with nothing between them.", "AL301", paths=("2", "3"))
def linear_linear_module(wrong: bool) -> Case:
    between = [] if wrong else [nn.ReLU()]
    layers = [nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 32), *between, nn.Linear(32, 4)]
    return Case(nn.Sequential(*layers), blobs(), F.cross_entropy)


class Forgetful(nn.Module):
    def __init__(self, wrong: bool) -> None:
        super().__init__()
        self.fc1, self.fc2, self.fc3, self.wrong = nn.Linear(8, 32), nn.Linear(32, 32), nn.Linear(32, 1), wrong

    def forward(self, x: Tensor) -> Tensor:
        x = F.silu(self.fc1(x))
        x = self.fc2(x) if self.wrong else F.silu(self.fc2(x))
        return self.fc3(x)


@twins("The activation after fc2 is forgotten.", "AL301", paths=("fc2", "fc3"))
def linear_linear_functional(wrong: bool) -> Case:
    return Case(Forgetful(wrong), curve(), nn.MSELoss())


@twins("Two convolutions with nothing between them.", "AL301", paths=("0", "1"))
def convolution_convolution(wrong: bool) -> Case:
    between = [] if wrong else [nn.ReLU()]
    layers = [nn.Conv2d(1, 8, 3, padding=1), *between, nn.Conv2d(8, 16, 3, padding=1), nn.ReLU()]
    model = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(64, 4))
    return Case(model, pictures(), F.cross_entropy)


@twins("Between two linear layers stands dropout alone.", "AL301", paths=("0", "2"))
def linear_dropout_linear(wrong: bool) -> Case:
    between = [nn.Dropout(0.1)] if wrong else [nn.Dropout(0.1), nn.ReLU()]
    return Case(nn.Sequential(nn.Linear(16, 64), *between, nn.Linear(64, 4)), blobs(), F.cross_entropy)


@twins("nn.Softmax as the activation of a hidden layer.", "AL302", paths=("1",))
def hidden_softmax_module(wrong: bool) -> Case:
    kind = nn.Softmax(dim=-1) if wrong else nn.ReLU()
    return Case(nn.Sequential(nn.Linear(16, 32), kind, nn.Linear(32, 4)), blobs(), F.cross_entropy)


class HiddenFunctional(nn.Module):
    def __init__(self, wrong: bool) -> None:
        super().__init__()
        self.fc1, self.fc2, self.fc3, self.wrong = nn.Linear(8, 32), nn.Linear(32, 32), nn.Linear(32, 1), wrong

    def forward(self, x: Tensor) -> Tensor:
        x = torch.tanh(self.fc1(x))
        z = self.fc2(x)
        x = torch.softmax(z, dim=1) if self.wrong else torch.tanh(z)  # fault: hidden_softmax_functional
        return self.fc3(x)


@twins("torch.softmax as the activation of the second hidden layer of a regression.", "AL302", paths=("",))
def hidden_softmax_functional(wrong: bool) -> Case:
    return Case(HiddenFunctional(wrong), curve(), nn.MSELoss())


class HiddenPicture(nn.Module):
    def __init__(self, wrong: bool) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(1, 8, 3, padding=1), nn.Conv2d(8, 16, 3, padding=1)
        self.act = nn.Softmax(dim=1) if wrong else nn.ReLU()
        self.out = nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.one(x))
        x = self.act(self.two(x))  # fault: hidden_softmax_cnn
        return self.out(x.mean((2, 3)))


@twins("Softmax over the channels between two convolutional stages.", "AL302", paths=("act",))
def hidden_softmax_cnn(wrong: bool) -> Case:
    return Case(HiddenPicture(wrong), pictures(), F.cross_entropy)


def initialised(model: nn.Module, start: Callable[[Tensor], object]) -> nn.Module:
    """The model with every weight matrix started by `start`, biases at 0."""
    for layer in model.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d):
            start(layer.weight)
            nn.init.zeros_(layer.bias)
    return model


def deep(kind: Callable[[], nn.Module], *, depth: int, width: int = 64) -> nn.Sequential:
    hidden = [layer for _ in range(depth - 1) for layer in (nn.Linear(width, width), kind())]
    return nn.Sequential(nn.Linear(16, width), kind(), *hidden, nn.Linear(width, 4))


def kaiming(weight: Tensor) -> Tensor:
    return nn.init.kaiming_normal_(weight, nonlinearity="relu")


def xavier(weight: Tensor) -> Tensor:
    return nn.init.xavier_normal_(weight)


@twins("Weights of deviation 0.01 before ReLU, ten layers deep.", "AL303")
def small_normal_relu(wrong: bool) -> Case:
    start = (lambda w: nn.init.normal_(w, std=0.01)) if wrong else kaiming
    return Case(initialised(deep(nn.ReLU, depth=10), start), blobs(), F.cross_entropy)


@twins("Weights of deviation 1 before tanh, six layers deep.", "AL303")
def large_normal_tanh(wrong: bool) -> Case:
    start = nn.init.normal_ if wrong else xavier
    return Case(initialised(deep(nn.Tanh, depth=6), start), blobs(), F.cross_entropy)


@twins("Xavier's gain of 1 before ReLU, thirty layers deep: each layer loses half of the signal.", "AL303")
def xavier_relu_deep(wrong: bool) -> Case:
    model = initialised(deep(nn.ReLU, depth=30), xavier if wrong else kaiming)
    return Case(model, blobs(), F.cross_entropy, adam(3e-4))


class PlainConvolutions(nn.Module):
    def __init__(self, depth: int) -> None:
        super().__init__()
        first, rest = nn.Conv2d(1, 16, 3, padding=1), [nn.Conv2d(16, 16, 3, padding=1) for _ in range(depth - 1)]
        self.layers, self.out = nn.ModuleList([first, *rest]), nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = F.relu(layer(x))
        return self.out(x.mean((2, 3)))


@twins("Convolutions with weights of deviation 0.02 before functional ReLU, eight layers deep.", "AL303")
def small_normal_cnn(wrong: bool) -> Case:
    start = (lambda w: nn.init.normal_(w, std=0.02)) if wrong else kaiming
    return Case(initialised(PlainConvolutions(8), start), pictures(), F.cross_entropy)


def lecun(weight: Tensor) -> Tensor:
    return nn.init.kaiming_normal_(weight, nonlinearity="linear")


@twins("SELU with weights for ReLU, twice the variance that it needs.", "AL304", "AL303")
def selu_kaiming(wrong: bool) -> Case:
    return Case(initialised(deep(nn.SELU, depth=8), kaiming if wrong else lecun), blobs(), F.cross_entropy)


class SelfNormalising(nn.Module):
    def __init__(self, *, dropout: nn.Module, depth: int = 6) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(16 if place == 0 else 64, 64) for place in range(depth)])
        self.dropout, self.out = dropout, nn.Linear(64, 4)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = self.dropout(F.selu(layer(x)))
        return self.out(x)


@twins("Functional SELU with PyTorch's own initialisation, a third of the variance that it needs.", "AL304", "AL303")
def selu_default(wrong: bool) -> Case:
    model = SelfNormalising(dropout=nn.Identity())
    return Case(model if wrong else initialised(model, lecun), blobs(), F.cross_entropy)


@twins("SELU with nn.Dropout, which breaks its mean and variance.", "AL305")
def selu_dropout_module(wrong: bool) -> Case:
    dropout = nn.Dropout(0.1) if wrong else nn.AlphaDropout(0.1)
    return Case(initialised(SelfNormalising(dropout=dropout), lecun), blobs(), F.cross_entropy)


@dataclass(frozen=True)
class Drop:
    """What is called by its attribute below: one line tells plain dropout from SELU's own."""

    wrong: bool

    def __call__(self, x: Tensor, *, training: bool) -> Tensor:
        return F.dropout(x, 0.2, training) if self.wrong else F.alpha_dropout(x, 0.2, training)


class FunctionalDropout(nn.Module):
    def __init__(self, wrong: bool) -> None:
        super().__init__()
        self.fc1, self.fc2, self.fc3, self.drop = nn.Linear(16, 64), nn.Linear(64, 64), nn.Linear(64, 4), Drop(wrong)

    def forward(self, x: Tensor) -> Tensor:
        x = self.drop(torch.selu(self.fc1(x)), training=self.training)
        x = self.drop(torch.selu(self.fc2(x)), training=self.training)
        return self.fc3(x)


@twins("torch.selu followed by F.dropout.", "AL305")
def selu_dropout_functional(wrong: bool) -> Case:
    return Case(initialised(FunctionalDropout(wrong), lecun), blobs(), F.cross_entropy)


class SharedSlope(nn.Module):
    def __init__(self, wrong: bool) -> None:
        super().__init__()
        self.fc1, self.fc2, self.fc3 = nn.Linear(16, 32), nn.Linear(32, 32), nn.Linear(32, 4)
        self.act1 = nn.PReLU()
        self.act2 = self.act1 if wrong else nn.PReLU()

    def forward(self, x: Tensor) -> Tensor:
        x = self.act1(self.fc1(x))
        return self.fc3(self.act2(self.fc2(x)))


@twins("Two layers share one PReLU and with it its slope.", "AL306", paths=("act1", "act2"))
def shared_prelu_attribute(wrong: bool) -> Case:
    return Case(SharedSlope(wrong), blobs(), F.cross_entropy)


@twins("One PReLU is put into a Sequential three times.", "AL306", paths=("1", "3", "5"))
def shared_prelu_sequential(wrong: bool) -> Case:
    acts = [nn.PReLU(32)] * 3 if wrong else [nn.PReLU(32) for _ in range(3)]
    layers = [nn.Linear(16, 32), acts[0], nn.Linear(32, 32), acts[1], nn.Linear(32, 32), acts[2], nn.Linear(32, 4)]
    return Case(nn.Sequential(*layers), blobs(), F.cross_entropy)


class OneForAll(nn.Module):
    def __init__(self, wrong: bool) -> None:
        super().__init__()
        self.one, self.two, self.out = nn.Conv2d(1, 8, 3), nn.Conv2d(8, 8, 3), nn.Linear(8, 4)
        self.acts = nn.ModuleList([nn.PReLU(8)] * 2 if wrong else [nn.PReLU(8), nn.PReLU(8)])

    def forward(self, x: Tensor) -> Tensor:
        x = self.acts[0](self.one(x))
        x = self.acts[1](self.two(x))
        return self.out(x.mean((2, 3)))


@twins("A list is multiplied: both convolutions get the same PReLU.", "AL306", paths=("acts.0", "acts.1"))
def shared_prelu_cnn(wrong: bool) -> Case:
    return Case(OneForAll(wrong), pictures(), F.cross_entropy)


def without_slopes(model: nn.Module) -> torch.optim.Optimizer:
    slopes = [p for module in model.modules() if isinstance(module, nn.PReLU) for p in module.parameters()]
    others = [p for p in model.parameters() if all(p is not slope for slope in slopes)]
    groups = [{"params": others, "weight_decay": 0.05}, {"params": slopes, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=1e-3)


@twins("AdamW decays the slopes of PReLU together with the weights.", "AL307")
def decayed_prelu_adamw(wrong: bool) -> Case:
    model = perceptron(16, 4, nn.PReLU)
    return Case(model, blobs(), F.cross_entropy, adamw(decay=0.05) if wrong else without_slopes)


class OwnSwish(nn.Module):
    """x · sigmoid(β x) with a β that is learned."""

    def __init__(self) -> None:
        super().__init__()
        self.beta = nn.Parameter(torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(self.beta * x)


def without_beta(model: nn.Module) -> torch.optim.Optimizer:
    betas = [p for name, p in model.named_parameters() if name.endswith("beta")]
    others = [p for name, p in model.named_parameters() if not name.endswith("beta")]
    return torch.optim.SGD([{"params": others, "weight_decay": 1e-3}, {"params": betas}], lr=0.1)


@twins("SGD with weight decay pulls the β of a Swish written by hand to 0, that is, to a linear network.", "AL307")
def decayed_swish_sgd(wrong: bool) -> Case:
    model = perceptron(16, 4, OwnSwish)
    return Case(model, blobs(), F.cross_entropy, sgd(0.1, decay=1e-3) if wrong else without_beta)


class AlwaysRandom(nn.Module):
    def __init__(self, wrong: bool) -> None:
        super().__init__()
        self.fc1, self.fc2, self.wrong = nn.Linear(16, 32), nn.Linear(32, 4), wrong

    def forward(self, x: Tensor) -> Tensor:
        z = self.fc1(x)
        h = F.rrelu(z, training=self.training or self.wrong)  # fault: random_in_eval_functional
        return self.fc2(h)


@twins("F.rrelu is told that it trains, always.", "AL308", paths=("",))
def random_in_eval_functional(wrong: bool) -> Case:
    return Case(AlwaysRandom(wrong), blobs(), F.cross_entropy)


class StaysRandom(nn.RReLU):
    """A module that does not follow when its model is set to evaluate."""

    def train(self, mode: bool = True) -> StaysRandom:
        return super().train(True)


@twins("A randomised ReLU stays in training mode when the model evaluates.", "AL308", paths=("1", "3"))
def random_in_eval_module(wrong: bool) -> Case:
    return Case(perceptron(16, 4, StaysRandom if wrong else nn.RReLU), blobs(), F.cross_entropy)


def tiny_bert(activation: str) -> nn.Module:
    from transformers import BertConfig, BertForSequenceClassification

    config = BertConfig(
        vocab_size=20,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=16,
        num_labels=3,
        hidden_act=activation,
    )
    return BertForSequenceClassification(config)


@twins(
    "A checkpoint's config says exact GELU; the layers were given the tanh approximation.",
    "AL309",
    paths=(
        "bert.encoder.layer.0.intermediate.intermediate_act_fn",
        "bert.encoder.layer.1.intermediate.intermediate_act_fn",
    ),
)
def gelu_other_than_config_bert(wrong: bool) -> Case:
    model = tiny_bert("gelu")
    for layer in model.bert.encoder.layer:
        if wrong:
            layer.intermediate.intermediate_act_fn = nn.GELU(approximate="tanh")
    return Case(model, token_classes(), lambda output, y: F.cross_entropy(output.logits, y), adam(3e-4))


@twins(
    "A checkpoint's config says GPT-2's tanh approximation; the layers compute the exact GELU.",
    "AL309",
    paths=("transformer.h.0.mlp.act", "transformer.h.1.mlp.act"),
)
def gelu_other_than_config_gpt(wrong: bool) -> Case:
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(vocab_size=20, n_positions=16, n_embd=32, n_layer=2, n_head=2, bos_token_id=0, eos_token_id=0)
    model = GPT2LMHeadModel(config)
    for block in model.transformer.h:
        if wrong:
            block.mlp.act = nn.GELU()
    return Case(model, tokens(), lambda output, y: F.cross_entropy(output.logits.flatten(0, 1), y.flatten()))


class LowPrecision(nn.Module):
    """A network in a 16-bit type whose inputs are scaled as they come."""

    def __init__(self, dtype: torch.dtype, kind: Callable[[Tensor], Tensor], scale: float) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(16, 32, dtype=dtype), nn.Linear(32, 4, dtype=dtype)
        self.dtype, self.kind, self.scale = dtype, kind, scale

    def forward(self, x: Tensor) -> Tensor:
        z = self.fc1(self.scale * x.to(self.dtype))
        return self.fc2(self.kind(z)).float()


@twins("In bfloat16 the gradient of sigmoid is exactly 0 from 6.25 on, where most of the inputs lie.", "AL310", "AL102")
def bfloat16_sigmoid(wrong: bool) -> Case:
    model = LowPrecision(torch.bfloat16, torch.sigmoid, 25.0 if wrong else 1.0)
    return Case(model, blobs(), F.cross_entropy, sgd(0.1))


@twins("In bfloat16 the gradient of tanh is exactly 0 from 3.5 on, where most of the inputs lie.", "AL310", "AL102")
def bfloat16_tanh(wrong: bool) -> Case:
    model = LowPrecision(torch.bfloat16, torch.tanh, 15.0 if wrong else 1.0)
    return Case(model, blobs(), F.cross_entropy, sgd(0.1))


@twins("In float16 the gradient of tanh is exactly 0 from 4.5 on, where most of the inputs lie.", "AL310", "AL102")
def float16_tanh(wrong: bool) -> Case:
    model = LowPrecision(torch.float16, torch.tanh, 20.0 if wrong else 1.0)
    return Case(model, blobs(), F.cross_entropy, sgd(0.1))
