"""Repair what a finding names: changes applied to a copy, measured, kept or dropped, and handed over as a patch."""
