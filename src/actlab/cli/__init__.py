"""The command line: parse text, call a verb, print its answer."""

from actlab.cli.entry import app as app
from actlab.cli.entry import main as main
