"""How a list of arguments, elements or imported names is laid out on its lines, and the same with others in it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

from actlab.extras_import import need

if TYPE_CHECKING:
    import libcst as cst
else:
    cst = need("libcst", extra="fix")

Space = Any  # cst.BaseParenthesizableWhitespace


@final
@dataclass(frozen=True, eq=False)
class Layout:
    """Items and the white space around them.

    Attributes:
        items: without their commas.
        gaps: the white space before each item, which for all but the first stands behind a comma.
        end: the white space behind the last one, and behind its comma if it has one.
        has_last_comma: whether a comma follows the last item.
    """

    items: tuple[Any, ...]
    gaps: tuple[Space, ...]
    end: Space
    has_last_comma: bool

    def rebuilt(self, wanted: Sequence[int | str], make: Callable[[str], Any]) -> Layout:
        """Return the layout of other items: old ones by index, in their order, and new ones by their text."""
        kept = [item for item in wanted if isinstance(item, int)]
        layout = self
        for at in reversed(range(len(self.items))):
            if at not in kept:
                layout = layout._without(at)
        for at, item in enumerate(wanted):
            if isinstance(item, str):
                layout = layout._with(at, make(item))
        return layout

    def _without(self, at: int) -> Layout:
        before = self.gaps[at]
        is_last = at == len(self.items) - 1
        after = self.end if is_last else self.gaps[at + 1]
        joined = _joined(before, after, is_last=is_last) if at > 0 or not is_last else self.end
        items = self.items[:at] + self.items[at + 1 :]
        if is_last:
            comma = self.has_last_comma and len(items) > 0
            return Layout(items, self.gaps[:at], joined if items or _breaks(joined) else _NOTHING, comma)
        gap = joined if at > 0 else before
        return Layout(items, (*self.gaps[:at], gap, *self.gaps[at + 2 :]), self.end, self.has_last_comma)

    def _with(self, at: int, item: Any) -> Layout:
        items = (*self.items[:at], item, *self.items[at:])
        if not self.items:
            return Layout(items, (_NOTHING,), self.end, False)
        if at < len(self.items):
            follower = self.gaps[at]
            own = _comment_free(follower) if _breaks(follower) or at == 0 else _SPACE
            if at == 0:
                between = _line_like(self.gaps[-1] if len(self.gaps) > 1 else _SPACE, follower)
                return Layout(items, (follower, between, *self.gaps[1:]), self.end, self.has_last_comma)
            own_line = _breaks(self.gaps[at - 1]) and _breaks(follower)
            gaps = (follower, own) if own_line else (_SPACE, follower)
            return Layout(items, (*self.gaps[:at], *gaps, *self.gaps[at + 1 :]), self.end, self.has_last_comma)
        own_line = _breaks(self.gaps[-1]) and _breaks(self.end)
        if not own_line:
            return Layout(items, (*self.gaps, _SPACE), self.end, self.has_last_comma)
        gap = self.gaps[-1].with_changes(
            first_line=self.end.first_line, empty_lines=self.end.empty_lines, indent=self.gaps[-1].indent
        )
        end = _comment_free(self.end)
        return Layout(items, (*self.gaps, gap), end, self.has_last_comma)


def laid_out(node: Any) -> Layout:
    """Return the layout of a call's arguments, a list's or tuple's elements, or the names of a `from` import."""
    if isinstance(node, cst.Call):
        return _layout(node.args, node.whitespace_before_args, None)
    if isinstance(node, cst.ImportFrom):
        first = _NOTHING if node.lpar is None else node.lpar.whitespace_after
        last = _NOTHING if node.rpar is None else node.rpar.whitespace_before
        assert not isinstance(node.names, cst.ImportStar)
        return _layout(node.names, first, last)
    opening, closing = _brackets(node)
    return _layout(node.elements, opening, closing)


def with_layout(node: Any, layout: Layout) -> Any:
    """Return the node with other items."""
    items = []
    for at, item in enumerate(layout.items):
        is_last = at == len(layout.items) - 1
        comma: Any = cst.MaybeSentinel.DEFAULT
        if not is_last:
            comma = cst.Comma(whitespace_after=layout.gaps[at + 1])
        elif layout.has_last_comma:
            comma = cst.Comma(whitespace_after=layout.end if isinstance(node, cst.Call) else _NOTHING)
        item = item.with_changes(comma=comma)
        if isinstance(node, cst.Call):
            keeps = is_last and not layout.has_last_comma
            item = item.with_changes(whitespace_after_arg=layout.end if keeps else _NOTHING)
        items.append(item)
    first = layout.gaps[0] if layout.gaps else layout.end
    if isinstance(node, cst.Call):
        return node.with_changes(args=items, whitespace_before_args=first)
    if isinstance(node, cst.ImportFrom):
        if node.lpar is None or node.rpar is None:
            return node.with_changes(names=items)
        lpar, rpar = (
            node.lpar.with_changes(whitespace_after=first),
            node.rpar.with_changes(whitespace_before=layout.end),
        )
        return node.with_changes(names=items, lpar=lpar, rpar=rpar)
    return _with_brackets(node, items, first, layout.end)


def _layout(items: Sequence[Any], first: Space, closing: Space | None) -> Layout:
    if not items:
        return Layout((), (), closing if closing is not None else first, False)
    gaps = [first, *(item.comma.whitespace_after for item in items[:-1])]
    last = items[-1]
    has_comma = isinstance(last.comma, cst.Comma)
    behind = last.comma.whitespace_after if has_comma else getattr(last, "whitespace_after_arg", _NOTHING)
    end = behind if closing is None or _is_nothing(closing) else closing
    return Layout(tuple(items), tuple(gaps), end, has_comma)


def _brackets(node: Any) -> tuple[Space, Space]:
    if isinstance(node, cst.List):
        return node.lbracket.whitespace_after, node.rbracket.whitespace_before
    if not node.lpar:
        return _NOTHING, _NOTHING
    return node.lpar[-1].whitespace_after, node.rpar[0].whitespace_before


def _with_brackets(node: Any, items: list[Any], first: Space, end: Space) -> Any:
    if isinstance(node, cst.List):
        return node.with_changes(
            elements=items,
            lbracket=node.lbracket.with_changes(whitespace_after=first),
            rbracket=node.rbracket.with_changes(whitespace_before=end),
        )
    if not node.lpar:
        return node.with_changes(elements=items)
    lpar = [*node.lpar[:-1], node.lpar[-1].with_changes(whitespace_after=first)]
    rpar = [node.rpar[0].with_changes(whitespace_before=end), *node.rpar[1:]]
    return node.with_changes(elements=items, lpar=lpar, rpar=rpar)


_NOTHING = cst.SimpleWhitespace("")
_SPACE = cst.SimpleWhitespace(" ")


def _is_nothing(space: Space) -> bool:
    return isinstance(space, cst.SimpleWhitespace) and not space.value


def _breaks(space: Space) -> bool:
    """Return whether a line ends in the white space."""
    return isinstance(space, cst.ParenthesizedWhitespace)


def _joined(before: Space, after: Space, *, is_last: bool) -> Space:
    """Return the white space that remains where an item between them is taken out.

    A comment behind the item, on its line, goes with it if the item has a line for itself.
    """
    if not _breaks(before):
        return after
    if not _breaks(after):
        return before if not is_last or before.first_line.comment is not None else after
    return after.with_changes(first_line=before.first_line, empty_lines=[*before.empty_lines, *after.empty_lines])


def _comment_free(space: Space) -> Space:
    """Return the white space without the comment that ends its first line, and without empty lines."""
    if not _breaks(space):
        return space
    return space.with_changes(first_line=cst.TrailingWhitespace(newline=space.first_line.newline), empty_lines=[])


def _line_like(usual: Space, first: Space) -> Space:
    return _comment_free(usual) if _breaks(usual) and _breaks(first) else _SPACE
