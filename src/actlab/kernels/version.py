"""The version of the kernels' results."""

# Raised whenever a kernel may give other bits than before: caches and certificates bear it.
VERSION = "1"
