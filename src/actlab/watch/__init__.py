"""Quantities of a running network, and the findings that are drawn from them."""
