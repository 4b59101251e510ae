"""Kernels of formulas that act on one element at a time."""
