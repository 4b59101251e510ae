"""What follows from a formula: its properties, and what it does to Gaussian signals."""
