"""Record what one forward pass computes."""
