"""Measure implementations of activations: their accuracy, their speed, their memory."""
