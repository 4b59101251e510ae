"""Measure how exact a program of a formula is."""
