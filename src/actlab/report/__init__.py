"""Answers made readable: facts (the data of every picture), figures, words, one HTML file."""
