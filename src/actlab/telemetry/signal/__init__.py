"""The signal on its way through a model: measured beside what the theory of wide networks predicts."""
