"""Whether a model runs the activations that it declares, or that another implementation of it runs."""
