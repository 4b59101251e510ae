"""What does watching a network cost, beside what others do every step?

Every contender trains the same network; some steps of each are run in turn, and the ratio is to the bare loop of the
same turn.
"""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from importlib.util import find_spec

import torch
from harness import options, percentiles_of, record, row
from torch import Tensor, nn

from actlab.watch.watch import EVERY, watch

# Steps in turn: as many as hold one measured step at the default.
BLOCK = EVERY

Attached = Callable[[nn.Module], AbstractContextManager[Callable[[int], None]]]


def cnn() -> tuple[nn.Module, Tensor]:
    layers: list[nn.Module] = []
    for inner, outer in ((1, 16), (16, 32), (32, 32)):
        layers += [nn.Conv2d(inner, outer, 3, padding=1), nn.BatchNorm2d(outer), nn.ReLU()]
    model = nn.Sequential(
        *layers, nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(512, 64), nn.ReLU(), nn.Linear(64, 10)
    )
    return model, torch.randn(32, 1, 28, 28)


class Transformer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(64, 4, 256, dropout=0.0, activation="gelu", batch_first=True)
        self.body, self.head = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False), nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x).mean(1))


def transformer() -> tuple[nn.Module, Tensor]:
    return Transformer(), torch.randn(32, 32, 64)


@contextmanager
def with_item(model: nn.Module) -> Iterator[Callable[[int], None]]:
    """What many write by hand: one hook a layer, a few numbers read back."""
    told: list[float] = []

    def seen(module: nn.Module, args: object, output: Tensor) -> None:
        told.extend((output.mean().item(), output.std().item(), (output == 0).float().mean().item()))

    handles = [
        each.register_forward_hook(seen)
        for each in model.modules()
        if isinstance(each, nn.Linear | nn.Conv2d | nn.ReLU)
    ]
    yield lambda step: told.clear()
    for handle in handles:
        handle.remove()


@contextmanager
def with_tensorboard(model: nn.Module) -> Iterator[Callable[[int], None]]:
    """Histograms of every activation and gradient."""
    from torch.utils.tensorboard import SummaryWriter

    kept: dict[str, Tensor] = {}
    modules = {name: each for name, each in model.named_modules() if isinstance(each, nn.Linear | nn.Conv2d | nn.ReLU)}
    handles = [
        each.register_forward_hook(lambda module, args, output, name=name: kept.__setitem__(name, output.detach()))
        for name, each in modules.items()
    ]
    with tempfile.TemporaryDirectory() as folder, SummaryWriter(folder) as writer:

        def write(step: int) -> None:
            for name, value in kept.items():
                writer.add_histogram(f"activation/{name}", value, step)
            for name, each in model.named_parameters():
                if each.grad is not None:
                    writer.add_histogram(f"gradient/{name}", each.grad, step)

        yield write
    for handle in handles:
        handle.remove()


@contextmanager
def with_watch(model: nn.Module, *, every: int | None = None) -> Iterator[Callable[[int], None]]:
    with watch(model) if every is None else watch(model, every=every):
        yield lambda step: None


def contenders() -> dict[str, Attached]:
    found: dict[str, Attached] = {
        "bare": lambda model: nullcontext(lambda step: None),
        "actlab.watch": with_watch,
        "actlab.watch every step": lambda model: with_watch(model, every=1),
        "hooks with .item()": with_item,
    }
    if find_spec("tensorboard"):
        found["TensorBoard histograms"] = with_tensorboard
    return found


class Loop:
    """One contender's training loop, which goes on where it was left."""

    def __init__(self, case: Callable[[], tuple[nn.Module, Tensor]], attached: Attached, stack: ExitStack) -> None:
        torch.manual_seed(0)
        self.model, self.x = case()
        self.target = torch.randint(10, (len(self.x),))
        self.optimiser, self.loss = torch.optim.Adam(self.model.parameters(), 1e-3), nn.CrossEntropyLoss()
        self.after = stack.enter_context(attached(self.model))
        self.step = 0

    def seconds(self) -> float:
        """Seconds of the processor for the next block of steps: what others do meanwhile is not in them."""
        start = time.process_time()
        for _ in range(BLOCK):
            self.optimiser.zero_grad()
            self.loss(self.model(self.x), self.target).backward()
            self.optimiser.step()
            self.after(self.step)
            self.step += 1
        return time.process_time() - start


def ratios(case: Callable[[], tuple[nn.Module, Tensor]], *, limit: float) -> dict[str, list[float]]:
    """Of every contender its time over that of the bare loop in the same round, for as many rounds as there is time.

    Each is paired with the bare loop alone: TensorBoard writes from a thread of its own, whose time would else be that
    of whoever comes next. Which of the two begins a round is drawn.
    """
    found: dict[str, list[float]] = {}
    turns = random.Random(0)
    for name, attached in contenders().items():
        with ExitStack() as stack:
            pair = [Loop(case, each, stack) for each in (contenders()["bare"], attached)]
            for loop in (*pair, *pair):
                loop.seconds()
            end, rounds = time.perf_counter() + limit, list[float]()
            while len(rounds) < 2 or time.perf_counter() < end:
                order = turns.sample((0, 1), 2)
                took = {at: pair[at].seconds() for at in order}
                rounds.append(took[1] / took[0])
            found[name] = rounds
    return found


def main() -> None:
    asked = options(__doc__ or "")
    torch.set_num_threads(1)  # threads that wait for each other measure the machine's other work
    rows = []
    for name, case in (("cnn", cnn), ("transformer", transformer)):
        for contender, values in ratios(case, limit=0.5 if asked.quick else 14.0).items():
            question, unit = f"watching a small {name}", "ratio to the bare loop"
            note = f"CPU time, 1 thread; {len(values)} rounds of {BLOCK} steps; watched every {EVERY} steps unless said"
            rows.append(
                row(question, contender, unit=unit, measured=percentiles_of(values), dtype="float32", note=note)
            )
    record("watch", rows, asked=asked)


if __name__ == "__main__":
    main()
