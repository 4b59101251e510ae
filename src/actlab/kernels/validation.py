"""Check which tensors an activation accepts."""

from __future__ import annotations

import torch
from torch import Tensor

from actlab.errors import BadInput

_DTYPES = frozenset({torch.float32, torch.float64, torch.bfloat16, torch.float16})
_LAYOUTS = frozenset({torch.strided, torch.jagged})


def refuse_unfit(x: object, *, what: str, name: str = "x") -> None:
    """Raise `BadInput` unless an activation accepts the input.

    Args:
        x: the input.
        what: who takes it: an activation's name, or `an activation`.
        name: what the input is called.

    Raises:
        BadInput: it is not a strided floating-point tensor of 16, 32 or 64 bits.
    """
    if not isinstance(x, Tensor):
        raise BadInput(f"{what} takes tensors; {name} is of type {type(x).__name__}.")
    if x.dtype not in _DTYPES:
        raise BadInput(f"{what} takes floating-point tensors; {name} is {x.dtype}. {_remedy_of_dtype(x, name)}")
    if x.layout not in _LAYOUTS:
        raise BadInput(f"{what} takes dense tensors; {name} has the layout {x.layout}. Use {name}.to_dense().")
    if x.is_nested and x.layout is torch.strided:
        raise BadInput(
            f"{what} takes nested tensors of the layout torch.jagged; {name} has torch.strided. Use "
            "torch.nested.nested_tensor(..., layout=torch.jagged)."
        )


def _remedy_of_dtype(x: Tensor, name: str) -> str:
    if x.is_quantized:
        return f"Use {name}.dequantize()."
    if x.is_complex():
        return f"Use {name}.real, {name}.imag or {name}.abs()."
    if x.is_floating_point():  # of 8 bits and fewer
        return f"Use {name}.to(torch.bfloat16)."
    return f"Use {name}.float()."
