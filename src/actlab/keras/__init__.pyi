from .layer import Activation as Activation
