"""Replace the activations of a model, reversibly."""
