"""Kernels that measure an activation's inputs unit by unit."""
