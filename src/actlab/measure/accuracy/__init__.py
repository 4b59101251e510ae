"""Measure how accurate an implementation of a formula is."""
