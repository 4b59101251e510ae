"""Programs whose faults are known, and programs without any: what `bench/scoreboard.py` puts a diagnosis to.

They were written from the literature and from what people build, before the rules and without looking at them. A
program that the diagnosis gets wrong stays as it is.
"""
