"""Find the runner of trials that was asked for."""

from __future__ import annotations

from actlab.errors import BadInput
from actlab.study.runner import Runner


def runner_named(asked: str | Runner | None) -> Runner | None:
    """Return the runner that a name means; None for this machine.

    Args:
        asked: "local", "ray", the address of a Ray cluster such as "ray://head:10001", or a runner.

    Raises:
        BadInput: no runner has this name.
        MissingExtra: Ray is not installed.
    """
    if not isinstance(asked, str):
        return asked
    if asked == "local":
        return None
    if asked == "ray" or asked.startswith("ray://"):
        from actlab.extras.ray_runner import RayRunner

        return RayRunner(None if asked == "ray" else asked)
    raise BadInput(f"runner must be local, ray, or the address of a cluster, ray://HOST:PORT; got '{asked}'.")
