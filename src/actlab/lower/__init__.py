"""Turn formulas into program text: one file per target, one table of spellings per file."""
