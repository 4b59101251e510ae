"""Activations as Keras 3 layers; `actlab.keras.Activation` is imported when first used.

A process that loads a saved model needs `from actlab.keras import Activation` first.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
