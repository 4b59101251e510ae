"""What does watching a network cost, beside what others do every step? And what does a check of it cost?

Every contender joins the bare loop for some steps in turn, and the ratio is to the bare steps of the same turn. It is
the same loop, for two networks in different memory differ by a tenth. The floors are what any such watch costs: they
read what `actlab.watch` reads and compute nothing of it. delve takes part where it can be imported: `pip install
--no-deps --target FOLDER delve` and `PYTHONPATH=FOLDER`. Saved rows are also the table in docs/watch.md.
"""

from __future__ import annotations

import csv
import logging
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from harness import ROOT, Options, Row, options, percentiles_of, record, row
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from actlab.diagnosis.check import check
from actlab.diagnosis.watch import EVERY, watch
from actlab.web.live_page import LivePage

# Steps in turn: as many as hold one measured step at the default.
BLOCK = EVERY

# Seconds for the rounds of each contender: a smaller difference takes longer to measure.
SECONDS = {
    "bare": 6.0,
    "actlab.watch": 16.0,
    "actlab.watch, live page": 40.0,
    "actlab.watch every step": 10.0,
    "floor: one pass over every watched activation and gradient": 6.0,
    "floor: the same, and a function mode": 6.0,
}
SECONDS_OF_OTHERS = 3.0

CASES = "cnn", "transformer"
THREADS = 1, 2

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
    """Watch as many do by hand: one hook per layer, a few numbers read back."""
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
    """Write histograms of every activation and gradient."""
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


@contextmanager
def with_live_page(model: nn.Module) -> Iterator[Callable[[int], None]]:
    """Watch with `live=True`, while another process asks for what a browser shows."""
    watched = watch(model)
    page = LivePage(watched, name="model", every=EVERY, port=0)
    with watched.look_closely(page.receive, during=page):
        browser = subprocess.Popen([sys.executable, "-c", BROWSER, page.address], stdout=subprocess.PIPE)
        try:
            assert browser.stdout is not None
            browser.stdout.readline()  # it listens
            yield lambda step: None
        finally:
            browser.kill()
            browser.wait()


# Listens to the page's events, and asks for the close look at every change, as the page does.
BROWSER = """
import sys, urllib.request
origin, _, token = sys.argv[1].partition("/?")
ask = lambda path: urllib.request.urlopen(f"{origin}{path}{token}")
ask("/api/network?").read()
for line in ask("/api/events?feed=network&"):
    if line.startswith(b"data"):
        print("listens", flush=True)
        ask("/api/network/look?site=0&step=&").read()
"""


@contextmanager
def with_delve(model: nn.Module) -> Iterator[Callable[[int], None]]:
    """Compute delve's covariances of every layer's outputs, without a report."""
    from delve import SaturationTracker

    logging.getLogger("delve.logger").setLevel(logging.WARNING)
    with tempfile.TemporaryDirectory() as folder:
        SaturationTracker(folder, save_to="csv", modules=model, device="cpu")
        yield lambda step: None
    for each in model.modules():
        each._forward_hooks.clear()


def bare(model: nn.Module) -> AbstractContextManager[Callable[[int], None]]:
    return nullcontext(lambda step: None)


@contextmanager
def with_reading(model: nn.Module) -> Iterator[Callable[[int], None]]:
    """Read the input of every activation, and the gradient of its output, once."""

    def both(z: Tensor, y: Tensor) -> Tensor:
        z.detach().sum()
        y.register_hook(lambda gradient: (gradient.sum(), None)[1])
        return y

    def within(act: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
        return lambda z: both(z, act(z))

    layers = [(each, each.activation) for each in model.modules() if isinstance(each, nn.TransformerEncoderLayer)]
    for layer, act in layers:
        layer.activation = within(act)
    relus = [each for each in model.modules() if isinstance(each, nn.ReLU)]
    handles = [each.register_forward_hook(lambda module, args, y: both(args[0], y)) for each in relus]
    yield lambda step: None
    for layer, act in layers:
        layer.activation = act
    for handle in handles:
        handle.remove()


class Empty(TorchFunctionMode):
    """Listens to all calls of functions, as finds activations that are no modules, and does nothing."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        return func(*args, **kwargs) if kwargs else func(*args)


@contextmanager
def with_reading_in_mode(model: nn.Module) -> Iterator[Callable[[int], None]]:
    """Do so while a function mode listens."""
    mode = Empty()
    handles = (
        model.register_forward_pre_hook(lambda module, args: (mode.__enter__(), None)[1]),
        model.register_forward_hook(lambda module, args, output: mode.__exit__(None, None, None)),
    )
    with with_reading(model) as after:
        yield after
    for handle in handles:
        handle.remove()


def contenders() -> dict[str, Attached]:
    found: dict[str, Attached] = {
        "bare": bare,
        "actlab.watch": with_watch,
        "actlab.watch, live page": with_live_page,
        "actlab.watch every step": lambda model: with_watch(model, every=1),
        "floor: one pass over every watched activation and gradient": with_reading,
        "floor: the same, and a function mode": with_reading_in_mode,
        "hooks with .item()": with_item,
    }
    for module, name, attached in (
        ("tensorboard", "TensorBoard histograms", with_tensorboard),
        ("delve", "delve", with_delve),
    ):
        if find_spec(module):
            found[name] = attached
        else:
            print(f"{module} is not installed and takes no part")
    return found


class Loop:
    """A training loop, which continues where it stopped."""

    def __init__(self, case: Callable[[], tuple[nn.Module, Tensor]]) -> None:
        torch.manual_seed(0)
        self.model, self.x = case()
        self.target = torch.randint(10, (len(self.x),))
        self.optimiser, self.loss = torch.optim.Adam(self.model.parameters(), 1e-3), nn.CrossEntropyLoss()
        self.step = 0

    def run(self, after: Callable[[int], None], *, steps: int) -> None:
        for _ in range(steps):
            self.optimiser.zero_grad()
            self.loss(self.model(self.x), self.target).backward()
            self.optimiser.step()
            after(self.step)
            self.step += 1

    def seconds(self, attached: Attached, *, steps: int, clock: Callable[[], float]) -> float:
        """Measure the seconds of the next steps with a contender, but for those in which it prepares.

        That is the first step, which is traced; a page also gets its first findings, once it listens.
        """
        with attached(self.model) as after:
            self.run(after, steps=2 * EVERY + 1 if attached is with_live_page else 1)
            start = clock()
            self.run(after, steps=steps)
            return clock() - start


def ratios(
    case: Callable[[], tuple[nn.Module, Tensor]],
    attached: Attached,
    *,
    seconds: float,
    steps: int,
    clock: Callable[[], float],
) -> list[float]:
    """Measure the contender's time over that of the bare loop in the same round, for as many rounds as time allows.

    Each is paired with the bare loop alone. Which of the two begins a round is random.
    """
    turns, found, loop, pair = random.Random(0), list[float](), Loop(case), (bare, attached)
    for each in pair:
        loop.seconds(each, steps=steps, clock=clock)
    end = time.perf_counter() + seconds
    while len(found) < 2 or time.perf_counter() < end:
        took = {at: loop.seconds(pair[at], steps=steps, clock=clock) for at in turns.sample((0, 1), 2)}
        found.append(took[1] / took[0])
    return found


def question(case: str, threads: int) -> str:
    return f"watching a small {case}" + (f", {threads} threads" if threads > 1 else "")


def measured(case: str, threads: int, *, asked: Options) -> Iterator[Row]:
    """Measure the rows of all contenders; on several threads in wall-clock seconds.

    On one thread it is the processor's time: what others do meanwhile is not in it. Of several threads it would count
    how long they wait for each other.
    """
    torch.set_num_threads(threads)
    network, steps = {"cnn": cnn, "transformer": transformer}[case], 2 if asked.quick else BLOCK
    clock, said = (time.process_time, "CPU time") if threads == 1 else (time.perf_counter, "time")
    said = f"{said}, {threads} thread{'s' * (threads > 1)}"
    for contender, attached in contenders().items():
        seconds = 0.0 if asked.quick else SECONDS.get(contender, SECONDS_OF_OTHERS)
        values = ratios(network, attached, seconds=seconds, steps=steps, clock=clock)
        note = f"{said}; {len(values)} rounds of {steps} steps; watched every {EVERY} steps unless said"
        spread, unit = percentiles_of(values), "ratio to the bare loop"
        yield row(question(case, threads), contender, unit=unit, measured=spread, dtype="float32", note=note)


class Recurrent(nn.Module):
    """An LSTM written by hand: many small calls."""

    def __init__(self) -> None:
        super().__init__()
        self.gates, self.head = nn.Linear(24, 64), nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        h = c = x.new_zeros(len(x), 16)
        for each in x.unbind(1):
            i, f, g, o = self.gates(torch.cat([each, h], 1)).chunk(4, 1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(c)
        return self.head(h)


class Bottleneck(nn.Module):
    """A block of a ResNet-50."""

    def __init__(self, inner: int, width: int, *, stride: int) -> None:
        super().__init__()
        sizes = ((inner, width, 1, 1), (width, width, 3, stride), (width, 4 * width, 1, 1))
        layers = [
            (nn.Conv2d(a, b, k, step, k // 2, bias=False), nn.BatchNorm2d(b), nn.ReLU()) for a, b, k, step in sizes
        ]
        self.body = nn.Sequential(*[each for group in layers for each in group][:-1])
        beside = nn.Sequential(nn.Conv2d(inner, 4 * width, 1, stride, bias=False), nn.BatchNorm2d(4 * width))
        self.beside = nn.Identity() if inner == 4 * width and stride == 1 else beside

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.body(x) + self.beside(x))


def resnet50() -> nn.Module:
    """Build a ResNet-50 (He et al. 2015, arXiv:1512.03385)."""
    blocks: list[nn.Module] = []
    inner = 64
    for width, count in ((64, 3), (128, 4), (256, 6), (512, 3)):
        for at in range(count):
            blocks.append(Bottleneck(inner, width, stride=2 if at == 0 and width > 64 else 1))
            inner = 4 * width
    begin = (nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(3, 2, 1))
    return nn.Sequential(*begin, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inner, 10))


def least(call: Callable[[], object], *, repeats: int, clock: Callable[[], float]) -> float:
    """Return the fewest seconds that the call takes: what others do meanwhile is not in it."""
    found = []
    for _ in range(repeats):
        start = clock()
        call()
        found.append(clock() - start)
    return min(found)


def checks(*, asked: Options) -> Iterator[Row]:
    """Measure a check in passes of the same model, on one thread."""
    torch.set_num_threads(1)
    lengths = (10,) if asked.quick else (50, 200, 800)
    repeats = 1 if asked.quick else 3
    loss = nn.CrossEntropyLoss()
    for length in lengths:
        model, x, y = Recurrent(), torch.randn(8, length, 8), torch.arange(8) % 4
        yield _check_row(
            f"checking an LSTM written by hand, {length} steps", model, x, y, loss, repeats=repeats, backward=False
        )
    x = torch.randn(*((2, 3, 32, 32) if asked.quick else (8, 3, 224, 224)))
    y = torch.arange(len(x)) % 10
    yield _check_row("checking a ResNet-50", resnet50(), x, y, loss, repeats=repeats, backward=True)


def _check_row(
    asked: str, model: nn.Module, x: Tensor, y: Tensor, loss: nn.Module, *, repeats: int, backward: bool
) -> Row:
    def plain() -> None:
        value = loss(model(x), y)
        if backward:
            value.backward()

    ratios = []
    check(model, (x, y), loss)  # formulas are recognized and kernels compiled once
    for _ in range(repeats):
        passed = least(plain, repeats=3, clock=time.process_time)
        ratios.append(least(lambda: check(model, (x, y), loss), repeats=1, clock=time.process_time) / passed)
    unit = f"{'forward and backward' if backward else 'plain'} passes"
    note = f"{asked.removeprefix('checking ')}, batch of {len(x)}; CPU time, 1 thread"
    return row(asked, "actlab.check", unit=unit, measured=percentiles_of(ratios), dtype="float32", note=note)


def entering(case: str, *, asked: Options) -> Row:
    """Measure what the beginning of a watch costs, with the first step, beyond a bare step and in bare steps."""
    torch.set_num_threads(1)
    network, found = {"cnn": cnn, "transformer": transformer}[case], []
    for at in range(2 if asked.quick else 8):
        loop = Loop(network)
        plain = min(loop.seconds(bare, steps=1, clock=time.process_time) for _ in range(2 if asked.quick else 8))
        start = time.process_time()
        with with_watch(loop.model) as after:
            loop.run(after, steps=1)
            first = time.process_time() - start
        if at:  # the first one compiles kernels
            found.append((first - plain) / plain)
    note = f"{case}; CPU time, 1 thread; with the first step, which is traced and measured"
    return row(f"entering a watch of a small {case}", "actlab.watch", unit="bare steps",
               measured=percentiles_of(found), dtype="float32", note=note)  # fmt: skip


def latest(rows: list[dict[str, str]], asked: str) -> dict[str, dict[str, str]]:
    """Return the rows of the last run that answered the question, by contender."""
    found = [each for each in rows if each["question"] == asked]
    return {each["contender"]: each for each in found if each["commit"] == found[-1]["commit"]}


def table(results: Path) -> str:
    """Write the last run as a Markdown table: medians, and the range of most ratios."""
    with results.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    columns = {
        f"{case}, {threads} thread{'s' * (threads > 1)}": found
        for case in CASES
        for threads in THREADS
        if (found := latest(rows, question(case, threads)))
    }
    names = dict.fromkeys(name for found in columns.values() for name in found)
    lines = [f"| | {' | '.join(columns)} |", f"|---{'|---' * len(columns)}|"]
    for name in names:
        cells = [_cell(found[name]) if name in found else "" for found in columns.values()]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    told = next(found["actlab.watch"] for found in columns.values())
    return "\n".join([*lines, "", f"On {told['device'].removeprefix('cpu: ')}, {told['date'][:10]}; {told['note']}."])


def _cell(found: dict[str, str]) -> str:
    p20, median, p80 = (float(found[name]) for name in ("p20", "median", "p80"))
    return f"{median:.3f} ({p20:.2f} to {p80:.2f})"


def with_table(page: str, results: Path) -> str:
    """Replace the table between the page's marks by that of the last run."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{table(results)}\n{END}{after}"


BEGIN, END = "<!-- by bench/watch.py from bench/results/watch.csv -->", "<!-- end -->"


def main() -> None:
    asked = options(__doc__ or "")
    for case in CASES:
        for threads in THREADS[:1] if asked.quick else THREADS:
            record("watch", measured(case, threads, asked=asked), asked=asked)
        record("watch", [entering(case, asked=asked)], asked=asked)
    record("watch", checks(asked=asked), asked=asked)
    if asked.results == ROOT / "bench" / "results":
        page = ROOT / "docs" / "watch.md"
        page.write_text(with_table(page.read_text(encoding="utf-8"), asked.results / "watch.csv"), encoding="utf-8")


if __name__ == "__main__":
    main()
