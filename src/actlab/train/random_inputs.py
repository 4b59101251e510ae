"""Random inputs of a shape that was typed, for a model without a batch."""

from __future__ import annotations

import re
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from actlab.errors import BadInput

SEED = 0
FEWEST = 10
"""Integers are drawn below this, or below the size of the smallest embedding of the model."""

_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.complex64)
_INTEGERS = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)
_TYPES = {str(dtype).removeprefix("torch."): dtype for dtype in (*_FLOATS, *_INTEGERS, torch.bool)}
_SHAPE = re.compile(r"(?P<sizes>\d+(?:\s*[,x]\s*\d+)*)(?::(?P<dtype>\w+))?")


def random_inputs(shapes: Sequence[str], model: nn.Module) -> tuple[Tensor, ...]:
    """Return one tensor for each shape; the same shapes give the same numbers.

    Floating-point numbers are drawn from the standard normal distribution, integers uniformly.

    Args:
        shapes: sizes and a type, such as `32,4` and `32,16:int64`; the type is float32 by default.
        model: the sizes of its embeddings bound the integers.

    Raises:
        BadInput: a shape cannot be read.

    Example:
        >>> [(each.shape, each.dtype) for each in random_inputs(["2,3", "2:int64"], nn.Embedding(5, 4))]
        [(torch.Size([2, 3]), torch.float32), (torch.Size([2]), torch.int64)]
    """
    chance = torch.Generator().manual_seed(SEED)
    below = min((part.num_embeddings for part in model.modules() if isinstance(part, nn.Embedding)), default=FEWEST)
    return tuple(_drawn(shape, chance, below=below) for shape in shapes)


def _drawn(shape: str, chance: torch.Generator, *, below: int) -> Tensor:
    found = _SHAPE.fullmatch(shape.strip())
    dtype = None if found is None else _TYPES.get(found["dtype"] or "float32")
    if found is None or dtype is None:
        raise BadInput(f"--input must be a shape, with a type if needed, such as 32,4 or 32,16:int64; got '{shape}'.")
    sizes = [int(size) for size in re.split(r"[,x]", found["sizes"])]
    if dtype in _FLOATS:
        return torch.randn(sizes, generator=chance).to(dtype)
    return torch.randint(2 if dtype == torch.bool else below, sizes, generator=chance).to(dtype)
