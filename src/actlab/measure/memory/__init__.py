"""Measure what a model's activations save for the backward pass."""
