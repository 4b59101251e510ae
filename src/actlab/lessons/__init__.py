"""The lessons: Markdown texts whose numbers and figures come from the program."""
