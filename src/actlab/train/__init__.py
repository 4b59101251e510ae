"""Tasks, the data that ships with a dependency, and one plain training loop."""
