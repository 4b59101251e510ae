"""Small networks on points in the plane: the settings, the data, the training, and the same as a program."""
