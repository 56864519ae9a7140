"""The profiles that ship with the package, by name."""

from __future__ import annotations

import difflib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from workloads.errors import InputError

if TYPE_CHECKING:
    import numpy as np

__all__ = ["catalogue_table", "profile_path", "shipped_profiles"]

_FOLDER = Path(__file__).parent / "profiles"


def shipped_profiles() -> tuple[str, ...]:
    """Names of the shipped profiles, sorted; `workloads.profile.load_profile` takes any of them."""
    return tuple(sorted(path.stem for path in _FOLDER.glob("*.json")))


def profile_path(path_or_name: str | Path) -> Path:
    """The file of a shipped profile's name, or the given path itself where it names a file.

    Raises
    ------
    InputError
        Neither a file nor a shipped name; the message lists the nearest names.
    """
    text = os.fspath(path_or_name)
    if text in shipped_profiles():
        return _FOLDER / f"{text}.json"
    looks_like_path = isinstance(path_or_name, Path) or text.endswith(".json") or os.sep in text
    if looks_like_path and Path(text).is_file():
        return Path(text)
    if looks_like_path:
        raise InputError(text, "is no file", "give the path of a profile, or a shipped name without .json")
    raise InputError(f"profile {text!r}", "is not a shipped profile", _suggestion(text))


def catalogue_table() -> str:
    """The shipped profiles as a Markdown table, as `docs/profile-format.md` shows it.

    "A size left out": median and worst relative error of the median latency when an inner size is left out.
    """
    from workloads.interpolation import leave_one_out_error
    from workloads.profile import load_profile

    lines = [
        "| profile | unit | p50 of 1, ms | largest batch | its p50, ms | its p99, ms | most a second | load, s "
        "| a size left out | remarks |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | --- |",
    ]
    for name in shipped_profiles():
        found = load_profile(name)
        error = leave_one_out_error(found)
        median_s, high_s = found.quantile_s(0.5), found.quantile_s(0.99)
        remarks = [f"two groups at {_span(found.batch_sizes[found.two_modes])}"] if found.two_modes.any() else []
        drifting = found.batch_sizes[abs(found.drift) > 0.05]
        remarks += [f"drift at {_span(drifting)}"] if drifting.size else []
        lines.append(
            f"| `{name}` | {found.unit} | {median_s[0] * 1e3:.3g} | {found.batch_sizes[-1]} "
            f"| {median_s[-1] * 1e3:.4g} | {high_s[-1] * 1e3:.4g} | {found.throughput_per_s().max():,.0f} "
            f"| {found.load_s:.2f} | {error.median:.1%}, {error.worst:.0%} at {error.worst_batch_size} "
            f"| {'; '.join(remarks)} |"
        )
    return "\n".join(lines)


def _span(sizes: np.ndarray) -> str:
    return f"{sizes[0]}" if len(sizes) == 1 else f"{sizes[0]}-{sizes[-1]}"


def _suggestion(name: str) -> str:
    near = difflib.get_close_matches(name, shipped_profiles(), n=3, cutoff=0.5)
    if near:
        return f"did you mean {' or '.join(near)}?"
    return f"use one of {', '.join(shipped_profiles())}, or a path ending in .json"
