"""The command line: text in, a verb called, its answer shown."""

from actlab.cli.entry import app as app
from actlab.cli.entry import main as main
