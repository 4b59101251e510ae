"""Program text → something that runs."""

from actlab.kernels.steps import step_table as step_table
