"""The options of `advise`: declared once, offered in Python and on the command line."""

from __future__ import annotations

import inspect

import pytest

import actlab
from actlab.cli.advise import command
from actlab.study.options import AdviseOptions, Option, options
from actlab.train.options import TaskOptions

each_option = pytest.mark.parametrize("option", options(), ids=lambda option: option.parameter.name)


@each_option
def test_an_option_stands_in_the_help_of_python(option: Option) -> None:
    name = option.parameter.name
    defaults = {**vars(TaskOptions()), **vars(AdviseOptions())}
    assert inspect.signature(actlab.advise).parameters[name].default == defaults[name]
    assert f"{name}: {option.about}" in " ".join(str(inspect.getdoc(actlab.advise)).split())


@each_option
def test_an_option_stands_on_the_command_line(option: Option) -> None:
    (about,) = inspect.signature(command).parameters[option.parameter.name].annotation.__metadata__
    assert about.help.startswith(option.about)


def test_an_unknown_option_is_refused() -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'sead'"):
        actlab.advise(sead=1)
