"""Activations that move their input towards 0."""

from __future__ import annotations

from actlab.formula.activation import activation
from actlab.formula.atoms import abs, tanh, where
from actlab.formula.param import Param


@activation(source="Donoho 1995; PyTorch", reference="torch.nn.functional.softshrink")
def soft_shrink(x, lambd=Param(0.5, least=0)):
    """The input, moved towards 0 by lambd and never past it."""
    return where(abs(x) <= lambd, 0, where(x > 0, x - lambd, x + lambd))


@activation(source="Donoho, Johnstone 1994; PyTorch", reference="torch.nn.functional.hardshrink")
def hard_shrink(x, lambd=Param(0.5, least=0)):
    """The input where it is further than lambd from 0, else 0."""
    return where(abs(x) <= lambd, 0, x)


@activation(source="PyTorch", reference="torch.nn.functional.tanhshrink")
def tanh_shrink(x):
    """The input minus its tanh."""
    return x - tanh(x)
