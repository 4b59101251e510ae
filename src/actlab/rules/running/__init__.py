"""Rules about a network while it trains."""
