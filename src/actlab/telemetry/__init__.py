"""Quantities of a running network, streaming and mergeable."""
