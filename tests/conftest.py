"""Hypothesis draws the same examples in every run, so that a change alone makes a test fail.

``HYPOTHESIS_PROFILE=explore`` draws others each time: worth a run now and then.
"""

from __future__ import annotations

import os

from hypothesis import settings

settings.register_profile("same", derandomize=True)
settings.register_profile("explore", derandomize=False)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))
