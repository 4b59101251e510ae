"""Turn formulas into programs that run.

The names in `__init__.pyi` are imported when first asked for: the version alone is read without PyTorch.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
