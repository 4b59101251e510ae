"""The LLVM IR around a kernel's own lines: its arguments, its segments, and its entry point for a team of threads."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

# The basic block to which a kernel's own lines go on when a segment is done.
DONE = "finish"

# Called once by every thread of a team: each takes an equal run of the segments.
_TEAM = """
declare i32 @omp_get_thread_num()
declare i32 @omp_get_num_threads()

define void @team(ptr %job) #0 {
  %arguments = load ptr, ptr %job
  %counted = getelementptr i64, ptr %job, i64 1
  %segments = load i64, ptr %counted
  %member32 = call i32 @omp_get_thread_num()
  %members32 = call i32 @omp_get_num_threads()
  %member = zext i32 %member32 to i64
  %members = zext i32 %members32 to i64
  %onward = add i64 %member, 1
  %from = mul i64 %segments, %member
  %to = mul i64 %segments, %onward
  %first = udiv i64 %from, %members
  %last = udiv i64 %to, %members
  call void @kernel(ptr %arguments, i64 %first, i64 %last)
  ret void
}
"""

# without it LLVM halves AVX-512's registers on some processors
_ATTRIBUTES = 'attributes #0 = { nounwind "min-legal-vector-width"="512" "prefer-vector-width"="512" }'


# After an instruction that stores past the caches; what is on its way has arrived when the kernel returns.
PAST_CACHES = "!nontemporal !0"
_ARRIVED = ("  fence seq_cst",)
_METADATA = "!0 = !{i32 1}"


def framed(
    declarations: Iterable[str],
    *,
    entry: Sequence[str],
    segment: Sequence[str],
    finish: Sequence[str] = (),
    past_caches: bool = False,
) -> str:
    """Return a kernel's module.

    Args:
        declarations: the functions that it calls.
        entry: what is done once, such as reading the arguments.
        segment: what is done for the segment `%at`; the last line goes on to `finish`.
        finish: what is done when a segment is over.
        past_caches: whether some of its stores are marked `PAST_CACHES`.
    """
    lines = [
        "define void @kernel(ptr %arguments, i64 %first, i64 %last) #0 {",
        "entry:",
        *entry,
        "  %none = icmp sge i64 %first, %last",
        "  br i1 %none, label %return, label %segment",
        "segment:",
        f"  %at = phi i64 [ %first, %entry ], [ %following, %{DONE} ]",
        *segment,
        f"{DONE}:",
        *finish,
        "  %following = add i64 %at, 1",
        "  %again = icmp slt i64 %following, %last",
        "  br i1 %again, label %segment, label %return",
        "return:",
        *(_ARRIVED if past_caches else ()),
        "  ret void",
        "}",
    ]
    metadata = [_METADATA] if past_caches else []
    return "\n".join([*sorted(declarations), "", *lines, _TEAM, _ATTRIBUTES, *metadata, ""])


def header(names: Sequence[str]) -> list[str]:
    """Return lines that load the arguments by name, in order; names that begin with `base` or `sums` are addresses."""
    lines = []
    for at, name in enumerate(names):
        kind = "ptr" if name.startswith(("base", "sums")) else "i64"
        lines += [
            f"  %place.{name} = getelementptr i64, ptr %arguments, i64 {at}",
            f"  %{name} = load {kind}, ptr %place.{name}",
        ]
    return lines
