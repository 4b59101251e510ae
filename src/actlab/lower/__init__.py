"""From a formula to program text: one file a target, one table of spellings a file."""
