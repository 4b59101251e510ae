"""The sources of activations as BibTeX, read from the catalog's `source` fields."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from string import ascii_lowercase
from types import MappingProxyType

from actlab.catalog.index import CATALOG, get, same_as
from actlab.errors import ActlabError
from actlab.formula.activation import Activation
from actlab.report.paper import latex_text
from actlab.sites.site_text import name_text
from actlab.study.arm_text import activation_of

_DATED = re.compile(r"(?P<authors>[^,].*?) (?P<year>(?:19|20)\d\d)(?:,? (?P<rest>.*))?$")
_ARXIV = re.compile(r"arXiv:(?P<id>\d{4}\.\d{4,5})")
_VERBATIM = ("author", "eprint", "archivePrefix", "url")
_PLACE = re.compile(r"^(eq\.|section|table)")
_REMARK = re.compile(r"[a-z]")


def bibliography(names: Iterable[str], *, own: Mapping[str, Activation] = MappingProxyType({})) -> str:
    """Return an entry for every source of these activations, and a comment for an activation that has none.

    Args:
        names: the names of the activations, or of arms.
        own: the user's own activations, by name.

    Example:
        >>> print(bibliography(["gelu"]))
        @misc{hendrycks2016,
          author = {Hendrycks and Gimpel},
          year = {2016},
          eprint = {1606.08415},
          archivePrefix = {arXiv},
          url = {https://arxiv.org/abs/1606.08415},
          note = {Source of: gelu},
        }
        <BLANKLINE>
    """
    sources: dict[str, str] = {}
    cited: dict[str, list[str]] = {}
    unknown = []
    for name in dict.fromkeys(map(activation_of, names)):
        act = _found(name, own)
        if act is None or not act.source:
            unknown.append(f"% {name_text(name)}: its source is not known")
            continue
        for source in (part.strip() for part in act.source.split(";")):
            if _REMARK.match(source):
                continue
            arxiv = _ARXIV.search(source)
            key = arxiv["id"] if arxiv else source
            sources.setdefault(key, source)
            cited.setdefault(key, []).append(act.name)
    keys: set[str] = set()
    entries = [_entry(source, note=f"Source of: {', '.join(cited[key])}", keys=keys) for key, source in sources.items()]
    return "\n".join([*entries, *unknown]) + "\n"


def _found(name: str, own: Mapping[str, Activation]) -> Activation | None:
    try:
        act = own.get(name) or get(name)
        same = same_as(act)
        act = get(same) if same else act
    except ActlabError:
        return None
    return act if isinstance(act, Activation) else CATALOG.get(name)  # type: ignore[return-value]  # only its source is read


def _entry(source: str, *, note: str, keys: set[str]) -> str:
    found = _DATED.match(source)
    if found is None:
        return _written(_key(source, "", keys), {"title": source, "note": note})
    arxiv = _ARXIV.search(source)
    rest = [part.strip() for part in (found["rest"] or "").split(",")]
    titles = [part for part in rest if part and not _ARXIV.search(part) and not _PLACE.search(part)]
    is_place = arxiv is None and any(re.search(r"\d", part) for part in titles)  # a journal and its volume
    fields = {
        "author": _authors(found["authors"]),
        "title": "" if is_place else ", ".join(titles),
        "howpublished": ", ".join(titles) if is_place else "",
        "year": found["year"],
        "eprint": arxiv["id"] if arxiv else "",
        "archivePrefix": "arXiv" if arxiv else "",
        "url": f"https://arxiv.org/abs/{arxiv['id']}" if arxiv else "",
        "note": note,
    }
    return _written(_key(found["authors"], found["year"], keys), fields)


def _authors(text: str) -> str:
    """Return the authors as BibTeX lists them; a team is one author."""
    text, others, _ = text.partition(" et al.")
    names = [f"{{{each.strip()}}}" if each.strip().endswith("Team") else each.strip() for each in text.split(",")]
    return " and ".join([*names, *(["others"] if others else [])])


def _key(author: str, year: str, keys: set[str]) -> str:
    """Return a key that is not used yet: the first author's name, the year, and a letter if it is needed."""
    plain = unicodedata.normalize("NFKD", author).encode("ascii", "ignore").decode().lower()
    first = re.sub(r"[^a-z0-9]+", "", re.split(r"[, ]", plain)[0]) or "source"
    key = next(key for letter in ("", *ascii_lowercase) if (key := f"{first}{year}{letter}") not in keys)
    keys.add(key)
    return key


def _written(key: str, fields: Mapping[str, str]) -> str:
    rows = [
        f"  {name} = {{{value if name in _VERBATIM else latex_text(value)}}},"
        for name, value in fields.items()
        if value
    ]
    return "\n".join([f"@misc{{{key},", *rows, "}"])
