"""Answers as text, HTML, charts and SARIF."""
