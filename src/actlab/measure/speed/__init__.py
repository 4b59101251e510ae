"""Measure how fast activations are."""
