"""A playground: its address, its data, its training to the bit, and its program without actlab."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
import torch

from actlab.errors import ActlabError, BadFormula, BadInput, BadTable
from actlab.train.playground.points import DRAWN, points_of
from actlab.train.playground.program import program_of
from actlab.train.playground.state import LIMITS, Layer, State, parse, query_of
from actlab.train.playground.table import Table, read_table
from actlab.train.playground.training import Training, initializations, network_of

STATES = (
    State(),
    State(data="spiral", layers=(), noise=0.0, points=20, seed=7, paused=True),
    State(
        data="function",
        f="where(x > 0, x, sin(x)) + 1",
        layers=(Layer(3, "x*sigmoid(beta*x) ; beta=1.5", "layer", "gain"), Layer(1, "swish(beta=2)", "batch", "small")),
        optimizer="adam",
        rate=0.003,
        decay=1e-4,
    ),
    State(data="table", table="0123", x1="a,b&c", x2="d=ü", y="y"),
)

CSV = b"height,width,kind,noise\n" + b"".join(
    f"{at},{at % 7},{'tall' if at > 30 else 'low'},{at * at % 11}\n".encode() for at in range(60)
)


@pytest.mark.parametrize("state", STATES, ids=lambda state: state.data)
def test_an_address_holds_the_whole_state(state):
    assert parse(query_of(state)) == state
    assert query_of(parse(query_of(state))) == query_of(state)


@pytest.mark.parametrize(
    ("query", "decisive"),
    [
        ("data=cube", "data must be one of circle"),
        ("rate=fast", "rate must be a number; got 'fast'"),
        ("rate=nan", "rate must be from"),
        ("points=5", "points must be from 20 to 2,000; got 5"),
        ("layer=0:none:default:tanh", "layer 1: width must be from 1 to 32; got 0"),
        ("layer=8:none:default:tanh&layer=8:none:odd:tanh", "layer 2: initialization must be one of"),
        ("layer=tanh", "layer 1 must be width:normalization"),
        ("layer=8:none:default:tahn", "Did you mean 'tanh'"),
        ("layer=8:none:default:x*", "layer 1: "),
        ("layer=8:none:default:swiglu", "swiglu has two inputs"),
        ("layer=8:none:default:softmax", "softmax acts on a whole layer"),
        ("layer=8:none:default:rrelu", "rrelu draws random numbers"),
        ("layer=8:none:default:x*b; b", "parameters follow a semicolon"),
        ("&".join(["layer=8:none:default:tanh"] * 9), "layers must be from 0 to 8; got 9"),
        ("layer=8:batch:default:tanh&batch=1", "batch must be 2 or more"),
        ("data=function&f=__import__('os')", "formula"),
        ("data=table", "a table must be chosen"),
        ("color=red", "'color' is not a setting"),
        ("seed=1e3", "seed must be a whole number"),
    ],
)
def test_a_wrong_setting_is_named(query, decisive):
    with pytest.raises(ActlabError, match=re.escape(decisive)):
        parse(query)


def test_a_wrong_formula_keeps_its_kind_of_error():
    with pytest.raises(BadFormula, match="layer 1"):
        parse("layer=8:none:default:x*")


@pytest.mark.parametrize("data", DRAWN)
def test_the_points_of_a_plane_are_two_classes_inside_of_it(data):
    points = points_of(State(data=data, noise=0.0, points=400))
    assert len(points.train_x) == len(points.test_x) == 200
    for x, y in ((points.train_x, points.train_y), (points.test_x, points.test_y)):
        assert x.abs().max() <= 6
        assert set(y.tolist()) == {0.0, 1.0}
        assert 0.3 < y.mean() < 0.7


def test_a_function_gives_its_own_values():
    points = points_of(State(data="function", f="x^2 + 1", noise=0.0))
    torch.testing.assert_close(points.train_y, points.train_x[:, 0] ** 2 + 1, rtol=1e-14, atol=0)


def test_a_function_that_is_not_finite_is_refused():
    with pytest.raises(BadInput, match=r"y = log\(x\): it must be finite from -6 to 6; got nan at x ="):
        points_of(State(data="function", f="log(x)"))


def table_state(table: Table, **changes: str) -> State:
    names = {"x1": "height", "x2": "width", "y": "kind", **changes}
    return State(data="table", table=table.digest, **names)


def test_columns_of_a_table_are_points():
    table = read_table(CSV, name="../trees.csv")
    assert (table.name, table.numeric) == ("trees.csv", ("height", "width", "noise"))
    assert table.targets == ("height", "width", "kind", "noise")
    points = points_of(table_state(table), table)
    assert points.labels == ("kind low", "kind tall")
    x = torch.cat([points.train_x, points.test_x])
    torch.testing.assert_close(x.mean(dim=0), torch.zeros(2).double(), rtol=0, atol=1e-12)
    torch.testing.assert_close(x.var(dim=0, correction=0), torch.ones(2).double())
    tall = torch.cat([points.train_y, points.test_y])
    assert tall.sum() == 29  # heights 31 to 59
    assert bool(x[tall == 1, 0].min() > x[tall == 0, 0].max())
    assert not points_of(table_state(table, y="noise"), table).is_classes


@pytest.mark.parametrize(
    ("content", "decisive"),
    [
        (b"", "'t.csv' is empty"),
        (b"a,b\nx,y\nz,w\n", "two columns of numbers for the plane; got none"),
        (b"a,b\n1,2\n3,4\n", "a third column to learn"),
        (b"a;b;c\n\xff\xfe;1;2\n", "not UTF-8"),
        (b"a,b,c\n" * 5_000_000, "MiB at most"),
        (b"a,b,c\n" + b"1,2,3\n" * 60_000, "50,000 rows"),
    ],
)
def test_a_table_that_cannot_be_used_is_refused(content, decisive):
    with pytest.raises(BadTable, match=decisive) as caught:
        read_table(content, name="t.csv")
    assert "/tmp" not in str(caught.value)


def test_wrong_columns_are_refused():
    table = read_table(CSV, name="trees.csv")
    with pytest.raises(BadTable, match="no column 'depth'"):
        points_of(table_state(table, x1="depth"), table)
    with pytest.raises(BadTable, match="three different columns"):
        points_of(table_state(table, x1="width"), table)
    with pytest.raises(BadTable, match="must hold numbers; it holds text"):
        points_of(table_state(table, x1="kind", y="height"), table)
    with pytest.raises(BadInput, match="upload its file again"):
        points_of(table_state(table), None)


def test_equal_states_train_equally_to_the_bit_and_leave_the_global_random_numbers():
    before = torch.get_rng_state()
    one, other = Training(State(data="moons")), Training(State(data="moons"))
    one.advance(200)
    for _ in range(200):
        other.advance()
    assert one.log == other.log
    assert len(one.log) == 21
    assert all(map(torch.equal, one.network.model.parameters(), other.network.model.parameters()))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("change", [{"seed": 1}, {"rate": 0.2}, {"batch": 8}, {"decay": 0.1}, {"optimizer": "adam"}])
def test_every_setting_changes_the_training(change):
    one, other = Training(State()), Training(State(**change))
    one.advance(20)
    other.advance(20)
    assert one.log[-1] != other.log[-1]


def test_it_learns():
    training = Training(State())
    training.advance(600)
    assert training.log[-1].test < 0.1 < training.log[0].test


def test_a_training_that_diverges_stops():
    training = Training(State(data="function", f="x^3", rate=10.0, layers=(Layer(8, "relu"),)))
    training.advance(500)
    assert training.diverged
    assert training.step < 500


def test_the_gain_of_the_activation_before_scales_the_weights():
    state = State(layers=(Layer(8, "relu", "none", "gain"), Layer(32, "tanh", "none", "gain")))
    (first, second, last) = initializations(state)
    assert first == ("gain", 1.0)
    assert second[1] == pytest.approx(2**0.5, rel=1e-9)
    assert last[1] == pytest.approx(1.5925374197228312, rel=1e-6)  # 1/sqrt(E tanh(z)^2)
    weights = network_of(state).model[2].weight
    assert weights.std().item() == pytest.approx(2**0.5 / 8**0.5, rel=0.15)


def test_an_activation_without_a_gain_is_refused():
    with pytest.raises(BadInput, match="Choose another initialization"):
        network_of(State(layers=(Layer(4, "0*x", "none", "gain"),)))


PROGRAMS = (
    State(),
    State(
        data="spiral",
        layers=(
            Layer(8, "relu", "none", "gain"),
            Layer(8, "x*sigmoid(b*x); b=1.5", "batch", "gain"),
            Layer(4, "x*sigmoid(b*x); b=0.1", "layer", "large"),
            Layer(4, "sin(x)*erf(x)", "layer", "small"),
            Layer(3, "softplus"),
            Layer(3, "prelu"),
        ),
        optimizer="adam",
        decay=1e-3,
    ),
    State(data="function", f="x*sin(x)", layers=(Layer(8, "gelu_tanh"), Layer(8, "elu(alpha=0.5)")), rate=0.001),
    State(data="bananas", layers=(), optimizer="momentum"),
    State(data="table", x1="height", x2="width", y="kind", table=read_table(CSV, name="t.csv").digest),
)

BLOCKED = "import sys; sys.modules['actlab'] = None; exec(compile(open(sys.argv[1]).read(), sys.argv[1], 'exec'))"


@pytest.mark.parametrize("state", PROGRAMS, ids=lambda state: state.data)
def test_the_program_without_actlab_prints_the_same_losses(state, tmp_path):
    table = read_table(CSV, name="t.csv")
    file = tmp_path / "playground.py"
    file.write_text(program_of(state, 300, table=table), encoding="utf-8")
    run = subprocess.run([sys.executable, "-I", "-c", BLOCKED, file], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    found = re.findall(r"(\d+)  training loss (\S+)  test loss (\S+)", run.stdout)
    training = Training(state, table)
    training.advance(300)
    assert [int(step) for step, *_ in found] == [each.step for each in training.log]
    for (step, *losses), each in zip(found, training.log, strict=True):
        assert [float(loss) for loss in losses] == pytest.approx([each.train, each.test], abs=1e-5), step


def test_limits_are_those_of_the_state():
    for name, (low, high) in LIMITS.items():
        assert low <= getattr(State(), name) <= high
