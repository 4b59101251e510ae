"""Recurrent layers and cells with replaceable activations."""
