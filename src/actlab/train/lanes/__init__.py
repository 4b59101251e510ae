"""Batched lanes: many models of one structure that train as one batched model."""
