"""Models of Hugging Face's Transformers, with random weights."""

from __future__ import annotations

import pytest
import torch

from actlab.catalog.frameworks import FRAMEWORKS
from actlab.catalog.index import get
from actlab.sites.find import sites
from actlab.sites.swap.swap import swap
from unit.sites.small import Between, rows

transformers = pytest.importorskip("transformers", reason="needs the extra 'transformers'")
IDS = torch.tensor([[3, 1, 4, 1, 5, 9, 2]])
SIZES = {"vocab_size": 50, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
LEFT_OUT = {"linear"}  # the identity is no activation


@pytest.mark.parametrize("name", sorted(set(FRAMEWORKS["transformers"]) - LEFT_OUT))
def test_every_activation_of_act2fn_is_recognized(name):
    from transformers.activations import ACT2FN

    (site,) = sites(Between(ACT2FN[name]), rows())
    assert site.activation == get(f"transformers:{name}").name


def bert():
    return transformers.BertModel(transformers.BertConfig(**SIZES, attn_implementation="eager"))


def llama():
    return transformers.LlamaForCausalLM(transformers.LlamaConfig(**SIZES))


def gpt2():
    sizes = {"vocab_size": 50, "n_embd": 16, "n_layer": 2, "n_head": 2, "bos_token_id": 0, "eos_token_id": 0}
    return transformers.GPT2LMHeadModel(transformers.GPT2Config(**sizes))


MODELS = {
    gpt2: ["gelu_tanh"] * 2,
    bert: ["softmax", "gelu", "softmax", "gelu", "tanh"],
    llama: ["swiglu"] * 2,
}


@pytest.mark.parametrize("make", MODELS, ids=lambda make: make.__name__)
def test_every_activation_of_a_model_is_found_or_listed_as_unseen(make):
    found = sites(make().eval(), IDS)
    assert [site.activation for site in found] == MODELS[make]
    attention = {each.what for each in found.unseen}
    assert attention == (set() if make is bert else {"F.scaled_dot_product_attention"})


@pytest.mark.parametrize("experts", ["eager", "batched_mm", "grouped_mm"])
@pytest.mark.parametrize("kind", ["Mixtral", "Qwen3Moe"])
def test_experts_are_gated_units_in_every_implementation(kind, experts):
    sizes = {**SIZES, "num_hidden_layers": 1, "num_key_value_heads": 2, "head_dim": 8, "moe_intermediate_size": 8}
    config = getattr(transformers, f"{kind}Config")(**sizes, experts_implementation=experts)
    found = sites(getattr(transformers, f"{kind}Model")(config).eval(), IDS)
    assert [site.activation for site in found] == ["softmax", "swiglu"]


@pytest.mark.parametrize(("make", "old"), [(gpt2, "gelu_tanh"), (bert, "gelu"), (llama, "silu")])
def test_the_activations_of_a_model_are_swapped_and_restored(make, old):
    model = make().eval()
    before = model(IDS)[0]
    done = swap(model, {old: "mish"}, IDS)
    assert len(done.changed) == 2
    assert [site.activation for site in sites(model, IDS)].count("mish") == 2
    assert not torch.equal(model(IDS)[0], before)
    done.undo()
    assert torch.equal(model(IDS)[0], before)
