"""Rules about how a model is built."""
