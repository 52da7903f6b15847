"""The third part of the benchmark: what phones cost that listen, and how soon they are woken.

`python -m bench phones` runs it alone; docs/benchmarks.md says what is measured.
"""
