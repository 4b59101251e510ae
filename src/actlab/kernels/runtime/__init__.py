"""Compile, cache and launch machine code."""
