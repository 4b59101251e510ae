"""The start of training: weights and activations chosen so that the signal keeps its size through the depth."""
