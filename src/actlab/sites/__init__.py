"""Where a model applies an activation, however it is spelled, and other activations put there."""
