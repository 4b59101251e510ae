"""What a program of a formula is worth: how exact it is, and how fast."""
