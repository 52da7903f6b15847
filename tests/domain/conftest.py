"""Properties are checked on a bounded number of examples, and never against the wall clock."""

from hypothesis import settings

settings.register_profile("textgate", deadline=None, max_examples=60)
settings.load_profile("textgate")
