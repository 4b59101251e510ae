"""Find and replace the activations of a model: modules, functions and formulas written out."""
