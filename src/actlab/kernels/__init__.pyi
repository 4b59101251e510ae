from .explanation import explain as explain
from .fewbit.quantizer import step_table as step_table
from .runtime.version import VERSION as VERSION
