"""Answers as notebooks show them: a table in HTML, a data frame, a Matplotlib axes."""
