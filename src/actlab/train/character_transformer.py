"""The small transformer for texts: it predicts the next character."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from actlab.nn.modules import inputs_of
from actlab.train.factory import Build

WIDTH = 32
HEADS = 2
BLOCKS = 2
INNER = 4 * WIDTH


class Block(nn.Module):
    """Causal self-attention and a feed-forward network, each added to its input after a layer normalization."""

    def __init__(self, activation: Build, *, width: int = INNER) -> None:
        super().__init__()
        self.before_attention, self.before_network = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.queries_keys_values, self.mixed = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        act = activation()
        self.network = nn.Sequential(nn.Linear(WIDTH, inputs_of(act) * width), act, nn.Linear(width, WIDTH))

    def forward(self, x: Tensor) -> Tensor:
        """Return the next representation of every character; shape (rows, length, width) as `x`."""
        parts = self.queries_keys_values(self.before_attention(x)).unflatten(-1, (3, HEADS, -1))
        queries, keys, values = parts.permute(2, 0, 3, 1, 4)
        found = F.scaled_dot_product_attention(queries, keys, values, is_causal=True)
        x = x + self.mixed(found.transpose(1, 2).flatten(2))
        update: Tensor = self.network(self.before_network(x))
        return x + update


class CharacterTransformer(nn.Module):
    """A transformer whose output at each place is one logit for each character that may follow.

    Args:
        activation: makes the activation of the feed-forward networks, which may be a gated unit that halves its input.
        characters: the number of codes.
        length: the most characters of a row.
        depth: the number of blocks.
        width: the number of units in each feed-forward network, behind the activation.
    """

    def __init__(
        self, activation: Build, *, characters: int, length: int, depth: int = BLOCKS, width: int = INNER
    ) -> None:
        super().__init__()
        self.characters, self.places = nn.Embedding(characters, WIDTH), nn.Embedding(length, WIDTH)
        self.blocks = nn.Sequential(*(Block(activation, width=width) for _ in range(depth)))
        self.last, self.logits = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, characters)

    def forward(self, codes: Tensor) -> Tensor:
        """Return logits of shape (rows, length, characters) for codes of shape (rows, length)."""
        places = torch.arange(codes.shape[1], device=codes.device)
        logits: Tensor = self.logits(self.last(self.blocks(self.characters(codes) + self.places(places))))
        return logits
