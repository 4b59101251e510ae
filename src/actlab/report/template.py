"""The HTML templates of the pages."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from actlab.report import diagnosis, wording
from actlab.report.style import PALETTE
from actlab.sites.site_text import name_text

# Not allowed in HTML or UTF-8: controls other than tab and line feed, and lone surrogates.
_UNFIT = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")


def rendered(name: str, **values: Any) -> str:
    """Fill in a template of the folder `templates`."""
    return _UNFIT.sub("\ufffd", _environment().get_template(name).render(values))


@lru_cache(maxsize=1)
def _environment() -> Environment:
    # Names of tasks, columns and activations come from users' files: everything is escaped.
    environment = Environment(
        loader=PackageLoader("actlab.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["short"] = name_text
    environment.globals |= {"palette": PALETTE, "marks": {**wording.MARKS, **diagnosis.MARKS}}
    return environment
