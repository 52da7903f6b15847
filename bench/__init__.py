"""The benchmark: what a message costs from the accept to the last webhook, here and elsewhere.

`python -m bench` runs it; docs/benchmarks.md says what is measured and how to read it.
Everything it dials is on 127.0.0.1, every load is bounded, and it ends what it started.
"""
