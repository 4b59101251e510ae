"""The remedies, one file each: what it answers, what it touches, what it costs."""
