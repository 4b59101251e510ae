"""Find and change what an edit names in a program's syntax tree, comments and format kept; needs LibCST."""
