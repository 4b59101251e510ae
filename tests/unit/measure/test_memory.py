"""What a step saves for backward is counted once, place by place, and no gain is claimed where there is none."""

from __future__ import annotations

import json

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from actlab.errors import BadTask
from actlab.measure.memory.saved_tensors import kept_by
from actlab.measure.memory.summary import ChoiceMemory, Memory, PlaceMemory, memory, size
from actlab.nn import module
from actlab.train.subject import Subject
from actlab.train.task import Task

ROWS, WIDE = 32, 160
UNIT = ROWS * WIDE * 4  # bytes of one hidden layer's output


def task_of(*activations: nn.Module) -> Task:
    def model() -> nn.Module:
        layers = [layer for act in activations for layer in (nn.Linear(WIDE, WIDE), act)]
        return nn.Sequential(*layers, nn.Linear(WIDE, 2))

    inputs = torch.randn(100, WIDE, generator=torch.Generator().manual_seed(0))
    return Task("signs", model, train=(inputs, (inputs[:, 0] > 0).long()), batch_size=ROWS)


def by_choice(found: Memory) -> dict[str, int]:
    return {row.choice: row.kept_bytes - found.choices[0].kept_bytes for row in found.choices}


def test_a_storage_counts_once_and_the_batch_not_at_all() -> None:
    model, x = nn.Linear(8, 8), torch.randn(4, 8)

    def step() -> Tensor:
        y = model(x)  # saves x and the weight, which are not counted
        return (y * y).sum() + (y.t() * y.t()).sum()  # y, four times

    assert kept_by(step, model=model, there_anyway=(x,)).total == 4 * 8 * 4


def test_gelu_alone_saves_its_input_and_few_bits_free_it() -> None:
    found = memory(task_of(nn.GELU(), nn.GELU()), compiled=False)
    assert [(row.path, row.kept_bytes, row.alone_bytes) for row in found.places] == [
        ("1", UNIT, UNIT),
        ("3", UNIT, UNIT),
    ]
    assert by_choice(found) == {
        "as it is": 0,
        **{f"few-bit, {bits} bit{'s' * (bits > 1)}": -2 * UNIT + 2 * UNIT * bits // 32 for bits in (1, 2, 3, 4)},
    }
    assert "few-bit, 3 bits" in found.verdict[0]
    assert "gain nothing" not in " ".join(found.verdict)


def test_relu_saves_what_the_next_layer_saves_so_bits_gain_nothing() -> None:
    found = memory(task_of(nn.ReLU()), compiled=False)
    (place,) = found.places
    assert (place.kept_bytes, place.alone_bytes, place.exact_bits) == (UNIT, 0, 1)
    assert by_choice(found) == {"as it is": 0, "exact bits": UNIT // 32}
    assert found.verdict[0] == (
        "relu saves nothing that another layer would not save anyway: fewer bits would gain nothing."
    )
    assert found.verdict[1] == "No choice saves less than the model as it is: few bits gain nothing here."


def test_only_places_that_gain_are_changed() -> None:
    found = memory(task_of(nn.ReLU(), nn.GELU(), nn.LeakyReLU(0.2)), compiled=False)
    rows = {row.choice: row for row in found.choices}
    assert [row.activation for row in found.places] == ["relu", "gelu", "leaky_relu(negative_slope=0.2)"]
    assert rows["few-bit, 4 bits"].replaced == 2
    assert rows["exact bits"].replaced == 1
    # PyTorch saves the input of a leaky relu
    assert rows["exact bits"].kept_bytes == rows["as it is"].kept_bytes - UNIT + UNIT // 32


def test_a_trainable_parameter_or_an_unbounded_derivative_stays_with_a_reason() -> None:
    found = memory(task_of(nn.PReLU(), module("x**2"), nn.GELU()), compiled=False)
    assert found.places[0].stays == "it learns a parameter, whose gradient needs the input itself"
    assert found.places[1].stays == "the derivative of x**2 has no bound"
    assert found.choices[-1].replaced == 1
    assert "x**2 stays as it is: the derivative of x**2 has no bound." in found.verdict


def test_the_task_s_own_activation_is_measured() -> None:
    inputs = torch.randn(100, 4, generator=torch.Generator().manual_seed(0))

    def model(activation: type[nn.Module]) -> nn.Module:
        return nn.Sequential(nn.Linear(4, 8), activation(), nn.Linear(8, 2))

    task = Task("signs", model, train=(inputs, (inputs[:, 0] > 0).long()), activation="mish")
    assert [row.activation for row in memory(task, compiled=False).places] == ["mish"]


def test_the_compiled_model_saves_the_codes_too() -> None:
    found = memory(task_of(nn.GELU()), backend="aot_eager_decomp_partition")
    rows = {row.choice: row for row in found.choices}
    as_is, few = rows["as it is"], rows["few-bit, 2 bits"]
    assert as_is.compiled_bytes is not None
    assert few.compiled_bytes is not None
    assert few.compiled_bytes < as_is.compiled_bytes
    assert found.verdict[-1].startswith("Under torch.compile: ")


def test_a_failing_compiler_is_reported_beside_the_eager_results() -> None:
    found = memory(task_of(nn.GELU()), backend="no such compiler")
    assert found.choices[-1].kept_bytes < found.choices[0].kept_bytes
    assert all(row.compiled_bytes is None for row in found.choices)
    assert "torch.compile was not measured: the model (as it is) raised" in found.verdict[-1]


def test_the_random_state_is_unchanged() -> None:
    task = task_of(nn.GELU())
    torch.manual_seed(3)
    wanted = torch.rand(1)
    torch.manual_seed(3)
    memory(task, compiled=False)
    assert torch.equal(torch.rand(1), wanted)


def test_progress_is_reported_after_every_choice() -> None:
    told: list[tuple[int, int]] = []
    memory(task_of(nn.GELU()), compiled=False, progress=lambda done, total, left, label: told.append((done, total)))
    assert told == [(done, 5) for done in range(1, 6)]


def test_a_model_without_known_activations_is_an_error_naming_what_was_not_analyzed() -> None:
    with pytest.raises(BadTask, match=r"^'signs': no known activation was found in the model\.$"):
        memory(task_of(), compiled=False)
    subject = Subject("lstm", nn.LSTM(4, 4), torch.ones(2, 3, 4), None, lambda output: output[0].sum())
    with pytest.raises(BadTask, match=r"in the model\. Not analyzed: nn.LSTM at the top\.$"):
        memory(subject, compiled=False)


class Functional(nn.Module):
    """Activations as functions, written out, and as a gate."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.last = nn.Linear(WIDE, WIDE), nn.Linear(WIDE, 2 * WIDE), nn.Linear(WIDE, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = F.gelu(self.first(x))
        value, gate = self.second(x).chunk(2, -1)
        x = self.last(value * F.silu(gate))
        return x * torch.sigmoid(x)


def test_functions_and_formulas_are_counted_separately_and_replaced_too() -> None:
    x = torch.randn(ROWS, WIDE, generator=torch.Generator().manual_seed(0))
    subject = Subject("net", Functional(), {"x": x}, torch.zeros(ROWS).long(), F.cross_entropy)
    found = memory(subject, compiled=False)
    assert [(row.path, row.activation, row.spelling) for row in found.places] == [
        ("model[0]", "gelu", "F.gelu"),
        ("model[1]", "swiglu", "value * F.silu"),
        ("model[2]", "silu", "x*sigmoid(x)"),
    ]
    # value and gate lie in one tensor of twice the width; the product saves the output of silu
    assert [row.alone_bytes for row in found.places[:2]] == [UNIT, 3 * UNIT]
    assert found.rows == ROWS
    assert found.choices[-1].replaced == 3
    # four bits of two units more, one unit less: of the gate nothing is freed, since its half lies beside the value
    assert by_choice(found)["few-bit, 4 bits"] < -UNIT * 3 // 4
    assert not any(isinstance(each, nn.GELU) for each in subject.model.modules())


def test_tables_and_json_say_the_same() -> None:
    found = Memory(
        "t",
        2,
        (PlaceMemory("1", "gelu", "nn.GELU", None, 2_500_000, 2_500_000, ""),),
        (ChoiceMemory("as it is", 0, 4_000_000, 4_000_000), ChoiceMemory("few-bit, 1 bit", 1, 1_000_000, 4_000_000)),
    )
    assert json.loads(json.dumps(found.to_json()))["choices"][1]["compiled_bytes"] == 4_000_000
    assert found.verdict == (
        "Reduced by: few-bit, 1 bit 3 MB (75%).",
        "Under torch.compile: No choice saves less than the model as it is: few bits gain nothing here.",
    )
    assert "  1   gelu        nn.GELU     2.5 MB  2.5 MB       -" in found.lines()
    assert "  few-bit, 1 bit  1 MB   4 MB" in found.lines()


@pytest.mark.parametrize(("count", "said"), [(0, "0 B"), (999, "999 B"), (1000, "1 kB"), (2**30, "1.07 GB")])
def test_sizes_for_reading(count: int, said: str) -> None:
    assert size(count) == said
