"""The second part of the benchmark: what a custom script costs.

`python -m bench scripts` runs it alone; docs/benchmarks.md says what is measured.
"""
