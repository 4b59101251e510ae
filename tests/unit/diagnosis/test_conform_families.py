"""No decoder family of Transformers is reported: each runs what its configuration declares."""

from __future__ import annotations

import pytest
import torch

from actlab.diagnosis.conformance.conform import conform
from actlab.rules.declared import declared_in

transformers = pytest.importorskip("transformers")

SIZES = {
    **dict.fromkeys(("hidden_size", "n_embd", "d_model", "embed_dim", "word_embed_proj_dim"), 32),
    **dict.fromkeys(("num_hidden_layers", "n_layer", "n_layers", "num_layers", "decoder_layers", "encoder_layers"), 2),
    **dict.fromkeys(("num_attention_heads", "n_head", "n_heads", "num_heads", "decoder_attention_heads"), 4),
    **dict.fromkeys(("intermediate_size", "ffn_dim", "d_ff", "decoder_ffn_dim"), 48),
    **dict.fromkeys(("num_local_experts", "num_experts", "n_routed_experts"), 4),
    **dict.fromkeys(("num_key_value_heads", "num_experts_per_tok", "eos_token_id"), 2),
    "vocab_size": 64,
    "max_position_embeddings": 64,
    "n_positions": 64,
    "moe_intermediate_size": 16,
    "pad_token_id": 0,
    "bos_token_id": 1,
}
MOST_PARAMETERS = 20_000_000


def small(family: str, name: str):
    """Return a small random model of a family; None if it cannot be built so, or names no activation."""
    try:
        own = transformers.AutoConfig.for_model(family)
        config = transformers.AutoConfig.for_model(family, **{key: SIZES[key] for key in SIZES if hasattr(own, key)})
        kind = getattr(transformers, name)
        with torch.device("meta"):
            if sum(each.numel() for each in kind(config).parameters()) > MOST_PARAMETERS:
                return None
        torch.manual_seed(0)
        model = kind(config).eval()
        with torch.no_grad():
            model(torch.ones(2, 12, dtype=torch.int64))
    except Exception:  # of whatever a family demands beside its sizes
        return None
    return model if declared_in(config) else None


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.timeout(1800)
def test_no_family_is_reported() -> None:
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES as FAMILIES

    tried, compared = 0, 0
    for family, names in sorted(FAMILIES.items()):
        model = small(family, names if isinstance(names, str) else names[0])
        if model is None:
            continue
        found = conform(model, torch.randint(3, 60, (2, 12)))
        assert found.conforms, (family, [row.to_json() for row in found.sites if not row.conforms])
        tried += 1
        compared += any(row.declared for row in found.sites)
    assert tried >= 100
    assert compared >= 0.95 * tried
