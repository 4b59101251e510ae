"""Planted faults of an activation are named with their place and size; right models are not alarmed."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from actlab.diagnosis.conformance.conform import conform
from actlab.errors import BadInput


class Block(nn.Module):
    """A gated feed-forward block with residual and norm, as decoders have it."""

    def __init__(self, unit: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.norm = nn.RMSNorm(16)
        self.up, self.down = nn.Linear(16, 64), nn.Linear(32, 16)
        self.unit = unit

    def forward(self, x: Tensor) -> Tensor:
        return x + self.down(self.unit(self.up(self.norm(x))))


class Decoder(nn.Module):
    """An embedding, two blocks and a head."""

    def __init__(self, *units: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.embed = nn.Embedding(32, 16)
        self.layers = nn.ModuleList(map(Block, units))
        self.head = nn.Linear(16, 32)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embed(tokens)
        for layer in self.layers:
            x = layer(x)
        return self.head(x)


def swiglu(x: Tensor) -> Tensor:
    value, gate = x.chunk(2, -1)
    return value * F.silu(gate)


def gate_first(x: Tensor) -> Tensor:
    gate, value = x.chunk(2, -1)
    return value * F.silu(gate)


def interleaved(x: Tensor) -> Tensor:
    return x[..., ::2] * F.silu(x[..., 1::2])


def clamped(x: Tensor) -> Tensor:
    value, gate = x.chunk(2, -1)
    return value.clamp(-0.5, 0.5) * F.silu(gate)


def clamped_after(x: Tensor) -> Tensor:
    value, gate = x.chunk(2, -1)
    return value * F.silu(gate).clamp(max=0.3)


def plus_one(x: Tensor) -> Tensor:
    value, gate = x.chunk(2, -1)
    return (value + 1) * F.silu(gate)


def quick(x: Tensor) -> Tensor:
    value, gate = x.chunk(2, -1)
    return value * (gate * torch.sigmoid(1.702 * gate))


def geglu(x: Tensor) -> Tensor:
    value, gate = x.chunk(2, -1)
    return value * F.gelu(gate)


def geglu_tanh(x: Tensor) -> Tensor:
    value, gate = x.chunk(2, -1)
    return value * F.gelu(gate, approximate="tanh")


def written_out(x: Tensor) -> Tensor:
    value, gate = x.chunk(2, -1)
    return value * (gate * torch.sigmoid(gate))


def half(function: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    def unit(x: Tensor) -> Tensor:
        return function(x[..., :32])

    return unit


PLANTED = {
    "gate first": (swiglu, gate_first),
    "interleaved": (swiglu, interleaved),
    "clamp dropped": (clamped, swiglu),
    "clamp after dropped": (clamped_after, swiglu),
    "one not added": (plus_one, swiglu),
    "quick for exact": (geglu, quick),
    "silu for gelu": (geglu_tanh, swiglu),
    "tanh for exact": (geglu, geglu_tanh),
    "another slope": (half(lambda x: F.leaky_relu(x, 0.01)), half(lambda x: F.leaky_relu(x, 0.2))),
    "another alpha": (half(lambda x: F.elu(x, 1.0)), half(lambda x: F.elu(x, 1.05))),
    "relu for squared relu": (half(lambda x: F.relu(x).square()), half(F.relu)),
    "hard for smooth": (half(F.silu), half(F.hardswish)),
}
ALIKE = {
    "written out": (swiglu, written_out),
    "a module": (half(F.gelu), half(nn.GELU())),
    "the same clamp": (clamped, lambda x: clamped(x)),
}


def tokens() -> Tensor:
    return torch.randint(32, (4, 10), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", PLANTED)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_planted_fault_is_named_at_its_site_alone(name: str, dtype: torch.dtype) -> None:
    right, wrong = PLANTED[name]
    torch.manual_seed(0)
    reference, model = Decoder(right, right).to(dtype), Decoder(right, wrong).to(dtype)
    with torch.no_grad():
        for each in model.layers:
            each.up.weight.mul_(3)

    found = conform(model, tokens(), to=reference)

    assert [(row.site.path.split(".")[:2], row.conforms) for row in found.sites] == [
        (["layers", "0"], True),
        (["layers", "1"], False),
    ]
    wrong_rows = [row for row in found.sites if not row.conforms]
    assert wrong_rows[0].max_difference is not None
    assert wrong_rows[0].max_difference > 1e-4


@pytest.mark.parametrize("name", ALIKE)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_another_spelling_conforms(name: str, dtype: torch.dtype) -> None:
    right, other = ALIKE[name]
    torch.manual_seed(0)

    found = conform(Decoder(other, other).to(dtype), tokens(), to=Decoder(right, right).to(dtype))

    assert found.conforms, found.to_json()
    assert not found.elsewhere


def test_the_size_is_that_on_the_models_own_pre_activations() -> None:
    torch.manual_seed(0)
    reference, model = Decoder(clamped), Decoder(swiglu)
    with torch.no_grad():
        model.layers[0].up.weight.mul_(3)
    up: list[Tensor] = []
    model.layers[0].up.register_forward_hook(lambda _m, _i, out: up.append(out.detach()))

    row = conform(model, tokens(), to=reference).sites[0]

    assert row.max_difference == pytest.approx(float((swiglu(up[0]) - clamped(up[0])).abs().max()), rel=1e-6)


def test_a_residual_stream_with_an_activation_on_it_blames_one_site() -> None:
    class Residual(nn.Module):
        def __init__(self, *activations: nn.Module) -> None:
            super().__init__()
            self.layers = nn.ModuleList(nn.Linear(8, 8) for _ in activations)
            self.acts = nn.ModuleList(activations)

        def forward(self, x: Tensor) -> Tensor:
            for layer, act in zip(self.layers, self.acts, strict=True):
                x = act(x + layer(x))
            return x.mean(1)

    torch.manual_seed(0)
    found = conform(
        Residual(nn.ReLU(), nn.ELU(), nn.ReLU(), nn.ReLU()),
        torch.randn(16, 8),
        to=Residual(nn.ReLU(), nn.ReLU(), nn.ReLU(), nn.ReLU()),
    )
    assert [row.conforms for row in found.sites] == [True, False, True, True]


def test_the_model_and_the_other_stay_as_they_are() -> None:
    torch.manual_seed(0)
    model, reference = Decoder(swiglu), Decoder(gate_first)
    before = [copy.deepcopy(each.state_dict()) for each in (model, reference)]
    random = torch.get_rng_state()

    conform(model, tokens(), to=reference)

    assert torch.equal(random, torch.get_rng_state())
    assert model.training
    assert reference.training
    for each, kept in zip((model, reference), before, strict=True):
        assert all(torch.equal(value, kept[name]) for name, value in each.state_dict().items())


def test_a_configuration_file_is_read(tmp_path) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"hidden_act": "gelu_pytorch_tanh", "hidden_size": 16}))
    torch.manual_seed(0)

    wrong = conform(Decoder(geglu_tanh, swiglu), tokens(), to=path)
    right = conform(Decoder(geglu_tanh, geglu_tanh), tokens(), to=path)

    assert [(row.declared, row.runs, row.conforms) for row in wrong.sites][1] == ("gelu_pytorch_tanh", "swiglu", False)
    assert right.conforms
    assert all(row.declared for row in right.sites)


def test_a_family_that_never_reads_the_name_declares_nothing_and_one_that_reads_it_does() -> None:
    transformers = pytest.importorskip("transformers")
    small = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
    small |= {"num_key_value_heads": 2, "vocab_size": 64, "head_dim": 8, "pad_token_id": 0}
    llama = transformers.LlamaForCausalLM(transformers.LlamaConfig(**small))
    oss = transformers.GptOssForCausalLM(transformers.GptOssConfig(**small, num_local_experts=4, num_experts_per_tok=2))
    assert conform(llama, tokens()).conforms
    assert not any(row.declared for row in conform(oss, tokens()).sites)
    llama.model.layers[1].mlp.act_fn = nn.GELU(approximate="tanh")
    wrong = [row.site.path for row in conform(llama, tokens()).sites if not row.conforms]
    assert wrong == ["model.layers.1.mlp.act_fn"]
    for layer in llama.model.layers:
        layer.mlp.act_fn = nn.GELU(approximate="tanh")
    assert [row.declared for row in conform(llama, tokens()).sites if not row.conforms] == ["silu", "silu"]


def test_a_part_has_its_own_configuration() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.vision = nn.Sequential(nn.Linear(4, 8), nn.SiLU(), nn.Linear(8, 8))
            self.text = nn.Sequential(nn.Linear(8, 8), nn.SiLU(), nn.Linear(8, 2))

        def forward(self, x: Tensor) -> Tensor:
            return self.text(self.vision(x))

    config = {"text_config": {"hidden_act": "silu"}, "vision_config": {"hidden_act": "quick_gelu"}}
    found = conform(Two(), torch.randn(8, 4), to=config)
    assert {row.site.path: row.conforms for row in found.sites} == {"vision.1": False, "text.1": True}


@pytest.mark.parametrize(
    ("to", "sentence"),
    [
        ({"hidden_size": 3}, "an activation must be named"),
        (None, "must have a `config`"),
        (nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 2)), "as many activations"),
    ],
)
def test_what_cannot_be_compared_is_refused(to: nn.Module | dict[str, int] | None, sentence: str) -> None:
    model = nn.Sequential(nn.Linear(4, 8), nn.SiLU(), nn.Linear(8, 2))
    with pytest.raises(BadInput, match=sentence):
        conform(model, torch.randn(8, 4), to=to)


def test_other_parameters_are_said() -> None:
    other = nn.Sequential(nn.Linear(4, 9), nn.SiLU(), nn.Linear(9, 2))
    found = conform(nn.Sequential(nn.Linear(4, 8), nn.SiLU(), nn.Linear(8, 2)), torch.randn(8, 4), to=other)
    assert found.conforms
    assert "same parameters" in found.elsewhere[0]


@pytest.mark.parametrize("text", ["{", "[1, 2]"])
def test_a_file_that_is_no_configuration_is_refused(tmp_path, text: str) -> None:
    path = tmp_path / "config.json"
    path.write_text(text)
    with pytest.raises(BadInput, match=r"config\.json"):
        conform(nn.Linear(4, 2), torch.randn(8, 4), to=path)
