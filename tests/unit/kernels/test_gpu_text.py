"""What a GPU is given: Triton compiles for one without having one."""

from __future__ import annotations

import re
from collections.abc import Mapping

import pytest

from actlab.catalog.index import get
from actlab.errors import NoKernels
from actlab.kernels.elementwise.plan import Shape
from actlab.kernels.gpu import kernels as gpu
from actlab.kernels.gpu import program as gpu_program
from actlab.kernels.gpu.program import Wanted, program, text
from actlab.lower.arithmetic import Recipe
from actlab.nn.operator import pointwise_of

triton = pytest.importorskip("triton", reason="the extra 'gpu' is not installed")

POINTERS = {"float": "*fp32", "double": "*fp64", "half": "*fp16", "bfloat": "*bf16"}
WORDS = {"BR": 1, "BC": 1024, "STEPS": 1, "rows": 1, "groups": 1}
TILES = {"BR": 8, "BC": 128, "STEPS": 8}


@pytest.fixture(autouse=True)
def compiled_not_interpreted(monkeypatch, tmp_path):
    monkeypatch.setenv("TRITON_INTERPRET", "0")
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))


def wanted(name: str, memory: str, *, backward: bool = False, fast_doubles: bool = False, interpreted=False) -> Wanted:
    made = pointwise_of(get(name))
    count = len(made.args)
    shape = Shape(made.expression, made.args, ("stream",) * count, (True,) * count if backward else None)
    inputs, outputs = count + backward, count if backward else 1
    return Wanted(
        shape, "accurate", memory, ("stream",) * inputs, (1,) * (inputs + outputs), True, fast_doubles, interpreted
    )


def compiled(asked: Wanted, *, architecture: int = 90, words: Mapping[str, int] = WORDS):
    """The kernel for a GPU of the architecture, as it is called for aligned tensors of 16·n elements."""
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    kernel = program(asked)
    names = list(kernel.arg_names)
    kinds = {name: "constexpr" if name in words else "i32" for name in names}
    kinds |= {name: POINTERS[asked.memory] for name in names if re.fullmatch(r"p\d+", name)}
    kinds |= {name: "*fp64" for name in names if re.fullmatch(r"s\d+", name)}
    aligned = {(at,): [["tt.divisibility", 16]] for at, name in enumerate(names) if name[0] == "p" or name == "cols"}
    constants = {(names.index(name),): value for name, value in words.items()}
    made = ASTSource(kernel, signature=kinds, constexprs=constants, attrs=aligned)
    return triton.compile(made, target=GPUTarget("cuda", architecture, 32), options=dict(gpu.OPTIONS)).asm


@pytest.mark.parametrize(
    ("name", "memory", "backward"),
    [("gelu", "float", False), ("mish", "float", True), ("swiglu", "bfloat", True), ("squareplus", "double", True)],
)
def test_no_operation_is_approximate_or_drops_what_is_subnormal(name, memory, backward):
    asm = compiled(wanted(name, memory, backward=backward))
    operations = set(re.findall(r"^\s+(?:@\S+ )?([a-z][\w.]+)", asm["ptx"], re.MULTILINE))
    assert not {each for each in operations if re.search(r"approx|ftz|\.full", each)}
    assert any(each.startswith("ld.global") and ".v" in each for each in operations), "loads are not wide"
    assert len(asm["cubin"]) > 0


def test_nothing_is_fused_that_the_text_does_not_fuse():
    asked = wanted("x*x + x", "float")
    assert "fma" not in text(asked)
    assert "fma" not in compiled(asked)["ptx"]


@pytest.mark.parametrize("place", ["scalar", "group", "column"])
def test_a_parameters_gradient_is_summed_in_float64_and_without_atomic_operations(place):
    made = pointwise_of(get("swish"), ("beta",))
    shape = Shape(made.expression, made.args, ("stream", "scalar"), (True, True))
    asked = Wanted(shape, "accurate", "float", ("stream", "stream", place), (1, 1, 1, 1), False, False, False)
    ptx = compiled(asked, words=TILES)["ptx"]
    assert "add.rn.f64" in ptx
    assert not re.search(r"\b(atom|red)\.", ptx)


@pytest.mark.parametrize("architecture", [75, 80, 100])
def test_other_architectures(architecture):
    assert compiled(wanted("gelu", "bfloat"), architecture=architecture)["cubin"]


def test_float64_is_used_only_where_it_is_fast(monkeypatch):
    monkeypatch.setattr(gpu_program, "portable_recipe", lambda *_, **__: Recipe("short"))
    slow, fast = (gpu_program.gpu_recipe(wanted("gelu", "float", fast_doubles=fast)) for fast in (False, True))
    assert (slow.kind, slow.paired) == ("float", True)
    assert fast.kind == "double"


def test_errors_are_carried_where_nobody_can_say_what_keeps_the_bound(monkeypatch):
    def fails(*_, **__):
        raise NoKernels("there is no compiler")

    monkeypatch.setattr(gpu_program, "portable_recipe", fails)
    assert gpu_program.gpu_recipe(wanted("gelu", "float", fast_doubles=True)).paired
    assert gpu_program.gpu_recipe(wanted("gelu", "double")).kind == "double"


def test_a_gpu_rounds_to_bfloat16_by_itself():
    assert "cvt.rn.bf16" in compiled(wanted("silu", "bfloat"))["ptx"]
    assert "bfloat16" not in text(wanted("silu", "bfloat", interpreted=True))


def test_offsets_have_64_bits():
    lines = [line for line in compiled(wanted("relu", "float"))["ttir"].splitlines() if "tt.addptr" in line]
    assert lines
    assert all(re.search(r"i64>?(?: loc\(.*\))?$", line) for line in lines), lines


def test_the_same_formula_is_compiled_once():
    assert program(wanted("relu", "float")) is program(wanted("relu", "float"))
