from .explanation import explain as explain
from .steps import step_table as step_table
from .version import VERSION as VERSION
