"""Kernels that save a few bits per element for the backward pass."""
