"""The pytest plugin: a fixture that checks a model's activations, and the marker `actlab`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pytest
else:
    from actlab.extras_import import need

    pytest = need("pytest", extra="pytest")


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marker."""
    config.addinivalue_line(
        "markers", "actlab(*ids): check activations; only findings with these ids or prefixes fail the test"
    )


@pytest.fixture
def assert_no_findings(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """Return a function of a model, a batch and a loss that fails the test if `actlab.check` finds faults.

    `batch` is a tuple of inputs and targets. Errors and warnings fail the test: those of the marker
    `@pytest.mark.actlab("AL201", "AL3")`, or all. The function takes the options of `actlab.check`, and returns the
    report, which holds the information too.
    """
    prefixes: Sequence[str] = [prefix for mark in request.node.iter_markers("actlab") for prefix in mark.args]

    def check_model(model: Any, batch: Any, loss: Any = None, **options: Any) -> Any:
        from actlab.diagnosis.check import check  # PyTorch is imported by the tests that need it alone

        __tracebackhide__ = True
        report = check(model, batch, loss, **options)
        if report.raised is not None:
            raise report.raised
        report.raise_if_found(*prefixes)
        return report

    return check_model
