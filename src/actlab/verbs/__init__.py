"""The verbs: one file each, plain values in, one frozen answer out.

`__init__.pyi` lists their public names and is written by `docs/generate.py`; a verb is imported when first used.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
