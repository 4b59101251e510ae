"""Recognize the activations in a recorded pass."""
