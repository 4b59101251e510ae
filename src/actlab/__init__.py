"""The workbench for the activation functions of a neural network.

The public names stand in `__init__.pyi`, where type checkers read them; each is imported
when first asked for.
"""

import lazy_loader as lazy

_public_name, __dir__, __all__ = lazy.attach_stub(__name__, __file__)


def __getattr__(name: str) -> object:
    if name == "__version__":
        from importlib.metadata import version  # 20 ms that only a reader of the version pays

        return version(__name__)
    return _public_name(name)
