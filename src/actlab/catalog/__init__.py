"""The activations, one short block each, in families; `index` gathers them."""
