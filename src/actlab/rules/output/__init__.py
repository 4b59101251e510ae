"""Rules about outputs and losses."""
