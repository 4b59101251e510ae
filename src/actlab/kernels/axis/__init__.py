"""Kernels of activations that act along an axis."""
