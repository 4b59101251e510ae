"""The page My network in a browser."""

from __future__ import annotations

import time
from pathlib import Path
from textwrap import dedent

import pytest

from actlab.web.workbench import Workbench

DEEP = """
    import torch
    from torch import nn

    def make_task():
        torch.manual_seed(0)
        layers = []
        for _ in range(8):
            layers += [nn.Linear(16, 16), nn.Sigmoid()]
        model = nn.Sequential(*layers, nn.Linear(16, 3))
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        batch = torch.randn(64, 16), torch.arange(64) % 3
        return {"model": model, "batch": batch, "loss": nn.CrossEntropyLoss(), "optimizer": optimizer}
"""
CNN = """
    import torch
    from torch import nn
    from torch.nn import functional as F

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.two, self.head = nn.Conv2d(1, 8, 3), nn.Conv2d(8, 8, 3), nn.Linear(8, 10)

        def forward(self, x):
            x = F.relu(self.one(x))
            x = F.relu(self.two(x))
            return self.head(x.mean((2, 3))).softmax(1)

    def make_task():
        torch.manual_seed(0)
        return Net(), (torch.randn(16, 1, 12, 12), torch.arange(16) % 10), nn.CrossEntropyLoss()
"""
GPT = """
    import torch
    from torch.nn import functional as F
    from transformers import GPT2Config, GPT2LMHeadModel

    def loss(output, targets):
        return F.cross_entropy(output.logits.flatten(0, 1), targets.flatten())

    def make_task():
        torch.manual_seed(0)
        config = GPT2Config(vocab_size=64, n_positions=16, n_embd=32, n_layer=4, n_head=2, use_cache=False)
        model = GPT2LMHeadModel(config)
        tokens = torch.randint(64, (4, 16))
        return model, ({"input_ids": tokens}, tokens.roll(-1, 1)), loss
"""
RAISES = """
    import torch
    from torch import nn

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer, self.calls = nn.Linear(4, 3), 0

        def forward(self, x):
            if self.layer.weight.abs().max() > 0.6:  # the initial weights are at most 0.5
                raise ValueError("the weights left the range")
            return torch.relu(self.layer(x))

    def make_task():
        torch.manual_seed(0)
        model = Net()
        return {"model": model, "batch": (torch.randn(8, 4), torch.arange(8) % 3), "loss": nn.CrossEntropyLoss(),
                "optimizer": torch.optim.SGD(model.parameters(), lr=50.0)}
"""


@pytest.fixture
def shown_of(visitor_of, tmp_path):
    """A function that opens the page of a program, and waits for its first close look."""

    def shown(program: str, *, width: int = 1400):
        (tmp_path / "net.py").write_text(dedent(program), encoding="utf-8")
        visitor = visitor_of(Workbench(data=f"{tmp_path / 'net.py'}:make_task"), width=width)
        visitor.visit("/network")
        return visitor

    return shown


def _bars(visitor, name: str):
    return visitor.at(f"histogram-{name}").locator("rect.bar")


@pytest.mark.parametrize(
    ("program", "count", "activation", "finding"),
    [
        pytest.param(DEEP, 8, "sigmoid", "AL103", id="eight layers"),
        pytest.param(CNN, 3, "relu", "AL201", id="a small CNN"),
        pytest.param(GPT, 4, "gelu_tanh", None, id="a small GPT-2"),
    ],
)
def test_an_own_network_is_shown_with_its_findings(shown_of, program, count, activation, finding):
    start = time.perf_counter()
    visitor = shown_of(program)
    _bars(visitor, "z").first.wait_for(timeout=10_000)
    visitor.at("findings").locator("article" if finding == "AL201" else "p").first.wait_for(timeout=10_000)
    seconds = time.perf_counter() - start
    assert seconds < 10, f"{seconds:.1f} s"
    rows = visitor.at("sites").locator("tbody tr")
    assert rows.count() >= count
    assert activation in visitor.at("sites").text_content()
    for _ in range(12):
        visitor.at("step").click()
    if finding is not None:
        visitor.at(f"finding-{finding}").first.wait_for(timeout=10_000)
    visitor.page.locator('[data-test="status"]:has-text("12 steps done")').wait_for()
    for name in ("z", "y", "gradient"):
        assert _bars(visitor, name).count() == 40


def test_an_activation_is_replaced_while_it_trains_and_restored(shown_of):
    visitor = shown_of(DEEP)
    visitor.at("site-2").click()
    visitor.at("play").click()
    visitor.page.locator('[data-test="play"]:has-text("Pause")').wait_for()
    visitor.at("formula").fill("max(x, 0.1*x)")
    visitor.at("swap").click()
    visitor.at("sites").locator("tbody tr:nth-child(3):has-text('instead of sigmoid')").wait_for()
    visitor.page.locator('[data-test="play"]:has-text("Pause")').wait_for()
    visitor.at("undo").click()
    visitor.page.locator('[data-test="site-2"]:has-text("sigmoid")').wait_for()
    assert "instead of" not in visitor.at("sites").text_content()
    visitor.at("play").click()
    visitor.page.locator('[data-test="play"]:has-text("Play")').wait_for()
    visitor.at("reset").click()
    visitor.page.locator('[data-test="status"]:has-text("Paused, 0 steps done")').wait_for()


def test_all_replacements_are_undone_at_once(shown_of):
    visitor = shown_of(DEEP)
    visitor.at("site-1").click()
    assert visitor.at("undo-all").is_disabled()
    visitor.at("formula").fill("tanh")
    visitor.at("swap-all").click()
    visitor.at("sites").locator("tbody tr:nth-child(8):has-text('instead of sigmoid')").wait_for(timeout=60_000)
    visitor.at("undo-all").click()
    visitor.page.wait_for_function(
        "() => !document.querySelector('[data-test=sites]').textContent.includes('instead of')"
    )
    assert visitor.at("undo-all").is_disabled()


def test_a_refusal_and_a_finding_of_a_replaced_activation_name_the_line_of_the_user(shown_of):
    visitor = shown_of(CNN)
    visitor.expected.append("400")
    _bars(visitor, "z").first.wait_for(timeout=10_000)
    visitor.at("formula").fill("softmax")
    visitor.at("swap").click()
    visitor.page.locator(
        '[data-test="swap-error"]:has-text("model[0] (net.py:12) stays: softmax acts along")'
    ).wait_for()
    visitor.at("formula").fill("0*x")
    visitor.at("swap").click()
    visitor.at("sites").locator("tbody tr:nth-child(1):has-text('instead of relu')").wait_for()
    finding = visitor.at("finding-AL114").first
    finding.wait_for(timeout=10_000)
    assert "net.py:12, in model[0] (F.relu)" in finding.text_content()
    assert "the derivative of 0*x (line 12) is 0" in finding.text_content()
    assert "swapped_" not in visitor.at("findings").text_content()


def test_errors_stand_beside_what_caused_them(shown_of):
    visitor = shown_of(CNN)
    visitor.expected.append("400")
    _bars(visitor, "z").first.wait_for(timeout=10_000)
    visitor.at("formula").fill("tanh(")
    visitor.page.locator('[data-test="swap-error"]:has-text("cannot read the formula")').wait_for()
    visitor.at("formula").fill("softmax")
    visitor.page.keyboard.press("Enter")
    visitor.page.locator('[data-test="swap-error"]:has-text("acts along an axis")').wait_for()
    visitor.at("sites").locator("tbody tr:nth-child(1):has-text('acts along an axis')").wait_for()
    visitor.at("rate").fill("-1")
    visitor.page.keyboard.press("Tab")
    visitor.page.locator('[data-test="training-error"]:has-text("must be a positive number")').wait_for()
    visitor.at("rate").fill("0.05")
    visitor.page.keyboard.press("Tab")
    visitor.page.locator('[data-test="training-error"]').wait_for(state="hidden")


def test_a_network_that_raises_is_reported_and_can_be_reset(shown_of):
    visitor = shown_of(RAISES)
    _bars(visitor, "z").first.wait_for(timeout=10_000)
    visitor.at("play").click()
    visitor.page.locator('[data-test="failure"]:has-text("the weights left the range (net.py, line 12)")').wait_for()
    assert visitor.at("play").is_disabled()
    visitor.at("reset").click()
    visitor.page.locator('[data-test="status"]:has-text("Paused, 0 steps done")').wait_for()
    assert visitor.at("failure").is_hidden()


def test_a_program_that_cannot_be_loaded_is_corrected_and_loaded_again(shown_of, tmp_path: Path):
    visitor = shown_of("make_task = 3")
    visitor.page.locator('[data-test="failure"]:has-text("must be an actlab.Task")').wait_for(timeout=10_000)
    assert visitor.at("shown").is_hidden()
    assert visitor.at("scrubber").is_hidden()
    (tmp_path / "net.py").write_text(dedent(CNN), encoding="utf-8")
    visitor.at("load").click()
    _bars(visitor, "z").first.wait_for(timeout=10_000)
    assert visitor.at("failure").is_hidden()


def test_the_keyboard_chooses_an_activation_and_a_step(shown_of):
    visitor = shown_of(DEEP, width=800)
    page = visitor.page
    _bars(visitor, "z").first.wait_for(timeout=10_000)
    visitor.at("step").focus()
    for _ in range(4):
        page.keyboard.press("Enter")
    page.locator('[data-test="status"]:has-text("4 steps done")').wait_for()
    visitor.at("site-0").focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    page.locator('#look-title:has-text("3. sigmoid")').wait_for()
    page.locator('[data-test="shown-step"]:has-text("step 3")').wait_for()
    visitor.at("scrubber").focus()
    page.keyboard.press("Home")
    page.locator('[data-test="look-about"]:has-text("Step 0,")').wait_for()
    visitor.at("latest").press("Enter")
    page.locator('[data-test="look-about"]:has-text("Step 3,")').wait_for()


def test_nothing_is_wider_than_a_narrow_screen(shown_of):
    visitor = shown_of(CNN, width=360)
    _bars(visitor, "z").first.wait_for(timeout=10_000)
    assert visitor.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
