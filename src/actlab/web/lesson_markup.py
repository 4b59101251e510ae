"""The Markdown of lessons as HTML, with formulas as MathML."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from markdown_it import MarkdownIt
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token
from markupsafe import Markup

from actlab.web.mathematics import mathml

_PAGE = re.compile(r"\[([^\]]+)\]\(/[^)]*\)")
_FORMULA = re.compile(r"(\$\$?)([^$]+)\1")


def html_of(text: str) -> Markup:
    """Return paragraphs of Markdown as HTML; HTML in the text is shown, not followed."""
    return Markup(_markdown().render(text))


def inline_html_of(text: str) -> Markup:
    """Return one line of Markdown as HTML, without a paragraph around it."""
    return Markup(_markdown().renderInline(text))


def without_pages(text: str) -> str:
    """Return Markdown in which links to the workbench's other pages are plain text.

    Example:
        >>> without_pages("[the page](/compare), [a paper](https://arxiv.org)")
        'the page, [a paper](https://arxiv.org)'
    """
    return _PAGE.sub(r"\1", text)


@lru_cache(maxsize=1)
def _markdown() -> MarkdownIt:
    markdown = MarkdownIt("commonmark", {"html": False}).enable("table")
    markdown.inline.ruler.before("escape", "formula", _formula)
    markdown.add_render_rule("formula", _mathematics)
    markdown.add_render_rule("table_open", lambda *_: '<div class="scroll"><table>')
    markdown.add_render_rule("table_close", lambda *_: "</table></div>")
    markdown.add_render_rule("th_open", _cell)
    markdown.add_render_rule("td_open", _cell)
    return markdown


def _formula(state: StateInline, silent: bool) -> bool:
    """Read `$latex$`, a formula in a line, or `$$latex$$`, one that stands alone."""
    found = _FORMULA.match(state.src, state.pos)
    if found is None:
        return False
    if not silent:
        token = state.push("formula", "", 0)
        token.markup, token.content = found[1], found[2]
    state.pos = found.end()
    return True


def _mathematics(renderer: object, tokens: Sequence[Token], at: int, *rest: object) -> str:
    display = "block" if tokens[at].markup == "$$" else "inline"
    return mathml(_latex(tokens[at].content), display=display)


def _cell(renderer: object, tokens: Sequence[Token], at: int, *rest: object) -> str:
    """Return the tag of a table's cell; aligned by a class, since the pages allow no inline style."""
    return (
        f'<{tokens[at].tag} class="number">' if "right" in str(tokens[at].attrGet("style")) else f"<{tokens[at].tag}>"
    )


def _latex(text: str) -> str:
    """Return LaTeX with the minus signs of filled-in facts as LaTeX spells them."""
    return text.replace("−", "-")
