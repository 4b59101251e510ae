"""The charts of the reports, one file each; a new file here is a new chart on its page."""
