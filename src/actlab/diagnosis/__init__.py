"""From a model to its findings: check, watch and the trial run of a copy."""
