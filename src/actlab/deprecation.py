"""Old public names, accepted for one release with a warning that names the new one."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

Args = ParamSpec("Args")
Result = TypeVar("Result")


def renamed_keyword(old: str, new: str) -> Callable[[Callable[Args, Result]], Callable[Args, Result]]:
    """Let a function take a keyword by its old name too.

    Example:
        >>> import warnings
        >>> @renamed_keyword("optimiser", "optimizer")
        ... def steps(*, optimizer):
        ...     return optimizer
        >>> with warnings.catch_warnings(record=True) as caught:
        ...     warnings.simplefilter("always")
        ...     steps(optimiser="sgd"), str(caught[0].message)
        ('sgd', "the argument 'optimiser' is deprecated; use 'optimizer'.")
    """

    def accepting_both(function: Callable[Args, Result]) -> Callable[Args, Result]:
        @wraps(function)
        def call(*args: Args.args, **kwargs: Args.kwargs) -> Result:
            if old in kwargs:
                if new in kwargs:
                    raise TypeError(f"{function.__qualname__}() got both '{new}' and its old name '{old}'.")
                warn_renamed(f"the argument '{old}'", f"'{new}'")
                kwargs[new] = kwargs.pop(old)
            return function(*args, **kwargs)

        return call

    return accepting_both


def warn_renamed(old: str, new: str) -> None:
    """Warn whoever called the caller of this function that a name is deprecated."""
    warnings.warn(f"{old} is deprecated; use {new}.", DeprecationWarning, stacklevel=3)
