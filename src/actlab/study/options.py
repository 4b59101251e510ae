"""The options of `advise`, declared once for Python and for the command line."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from textwrap import fill
from typing import Annotated, Any, TypeVar, final, get_type_hints

from actlab.formula.activation import Activation
from actlab.study.arm_text import Variant
from actlab.train.options import TaskOptions

Function = TypeVar("Function", bound=Callable[..., Any])


@final
@dataclass(frozen=True)
class AdviseOptions:
    """What to compare, how thoroughly, and where to store the runs; each field's annotation describes it."""

    activations: Annotated[
        Sequence[str | Activation | Variant] | None,
        "Candidates: names, formulas or file.py:name, each with factors such as @norm=batch. Default: eight common"
        " activations.",
    ] = None
    against: Annotated[
        str | Activation | Variant | None,
        "The control: a name, formula or file.py:name. Default: the model's own activation.",
    ] = None
    seeds: Annotated[
        int | None, "Number of seeds. Default: the fewest that can reach significance. With --resume, seeds are added."
    ] = None
    budget: Annotated[int | None, "Number of learning rates to try per activation. Default: 8."] = None
    jobs: Annotated[int, "Number of training processes to run at once."] = 1
    seed: Annotated[int, "Master random seed of the study; not the number of seeds (--seeds)."] = 0
    init: Annotated[
        str, "Weight initialization: as-is, or gain to scale the weights by each activation's own gain."
    ] = "as-is"
    splits: Annotated[
        str | None,
        "How the rows are split into three parts: per-seed, or fixed. Default: per seed on small data.",
    ] = None
    equal: Annotated[
        str,
        "What all arms have the same of: trials, seconds of training, or, by the width of the model, parameters or"
        " flops.",
    ] = "trials"
    measure: Annotated[
        Sequence[str],
        "Measure beside the metric: noise (in the test inputs), calibration, cost (times forward and backward, memory,"
        " operations) and energy; or all.",
    ] = ()
    noise_levels: Annotated[
        Sequence[float] | None,
        "Sizes of the noise, in standard deviations of each input (of integers: the share that is replaced). Default:"
        " 0.1, 0.3 and 1.",
    ] = None
    label_noise: Annotated[
        float, "Share of the training and validation labels to make wrong, the same for all activations of a seed."
    ] = 0.0
    target_metric: Annotated[
        float | None,
        "Validation metric that the steps to target count up to. Default: what the control reaches, less what does not"
        " matter.",
    ] = None
    watts: Annotated[float | None, "Power by which energy is estimated where no counter can be read."] = None
    store: Annotated[
        str | Path | None, "File or database URL in which to store the runs, so that a study can be resumed."
    ] = None
    resume: Annotated[bool, "Continue the newest stored study of this task."] = False
    diagnose: Annotated[bool, "Diagnose the model as it is before the comparison."] = True


@final
@dataclass(frozen=True)
class Option:
    """One option as a keyword parameter, with its description."""

    parameter: inspect.Parameter
    about: str


def options(*, without: Collection[str] = ()) -> list[Option]:
    """Return the options of the task, then those of the study, in the order of their fields."""
    every = (*_options_of(TaskOptions), *_options_of(AdviseOptions))
    return [each for each in every if each.parameter.name not in without]


def _options_of(declared: type) -> list[Option]:
    hints = get_type_hints(declared, include_extras=True)
    keyword = inspect.Parameter.KEYWORD_ONLY
    return [
        Option(
            inspect.Parameter(each.name, keyword, default=each.default, annotation=hints[each.name].__origin__),
            hints[each.name].__metadata__[0],
        )
        for each in fields(declared)
    ]


def task_options(options: dict[str, Any]) -> TaskOptions:
    """Take the options of the task out of the dict, and return them."""
    return TaskOptions(**{each.name: options.pop(each.name) for each in fields(TaskOptions) if each.name in options})


def with_parameters(function: Function, parameters: Sequence[inspect.Parameter], *, before: str) -> Function:
    """Show these parameters in the function's signature, before the one named, instead of its `**options`."""
    signature = inspect.signature(function, eval_str=True)
    own = [each for each in signature.parameters.values() if each.kind is not inspect.Parameter.VAR_KEYWORD]
    at = [each.name for each in own].index(before)
    shown = signature.replace(parameters=[*own[:at], *parameters, *own[at:]])
    function.__signature__ = shown  # type: ignore[attr-defined]  # a function takes attributes; inspect reads this one
    return function


def lists_options(function: Function, *, without: Collection[str] = (), before: str = "report") -> Function:
    """Show the options in the signature, before the parameter named, and in place of `{options}` in the docstring."""
    shown = options(without=without)
    rows = [f"{each.parameter.name}: {each.about}" for each in shown]
    text = "\n".join(fill(row, 116, initial_indent=" " * 8, subsequent_indent=" " * 12) for row in rows)
    function.__doc__ = (function.__doc__ or "").replace("        {options}", text)
    return with_parameters(function, [each.parameter for each in shown], before=before)
