"""What all tests share: hypothesis draws the same examples in every run, unless told otherwise."""

from __future__ import annotations

import os

from hypothesis import settings

# A red build has to be red again on the next machine; `thorough` is for the search at home.
settings.register_profile("deterministic", derandomize=True, deadline=None, max_examples=60, database=None)
settings.register_profile("thorough", deadline=None, max_examples=2000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "deterministic"))
