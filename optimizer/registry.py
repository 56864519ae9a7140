"""Policies by name: the built-in ones, those of a Python file, and those that packages install.

A specification is a string, ``mip`` or ``path/to/file.py:Class``, or a mapping:

    {"name": "hpa", "target": 0.6, "label": "hpa at 60 %", "wrap": [{"name": "bounds", "min_replicas": 2}]}

Every key but ``name``, ``label``, ``wrap`` and ``options`` is an option of the policy; ``options`` is a
mapping of more.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, fields
from importlib import import_module
from pathlib import Path
from typing import Any

from optimizer.options import suggestion
from optimizer.policy_file import (
    check_policy_class,
    describe,
    installed_policies,
    load_policy_class,
    split_file_spec,
)
from optimizer.standing import AboveStanding, above_standing
from simulator.policy import Policy, PolicyContext
from workloads.errors import InputError, RecfleetError

__all__ = ["PolicySpec", "available_policies", "make_policy", "policy_class", "policy_label", "validate_spec"]

_BUILT_IN: dict[str, tuple[str, str]] = {
    "static_peak": ("static_peak:StaticPeak", "Sized once for the known peak with headroom, never changed"),
    "fixed": ("fixed:Fixed", "The replicas that it is given, never changed: how a plan of a static fleet is applied"),
    "hpa": (
        "hpa:Hpa",
        "Kubernetes HPA v2 for each stage: on its busy fraction, or by a manifest",
    ),
    "document_greedy": (
        "document_greedy:DocumentGreedy",
        "The document's greedy: min(demand, available) slot by slot",
    ),
    "document_lp": (
        "document_lp:DocumentLp",
        "The document's linear programme: cover demand, never shrink (PuLP)",
    ),
    "marginal_greedy": (
        "marginal_greedy:MarginalGreedy",
        "Adds the replica of least marginal cost on a short forecast, then trims; no solver",
    ),
    "mip": ("mip:Mip", "Whole replicas on whole nodes at least cost for a short forecast (OR-Tools)"),
    "clairvoyant_mip": (
        "clairvoyant_mip:ClairvoyantMip",
        "Yardstick, not for practice: the MIP with the true future demand (clairvoyant)",
    ),
    "rolling_horizon": (
        "rolling_horizon:RollingHorizon",
        "Plans ahead at each decision: quantile demand, start-up delays, paid starts (OR-Tools)",
    ),
    "clairvoyant_horizon": (
        "clairvoyant_horizon:ClairvoyantHorizon",
        "Yardstick, not for practice: the rolling horizon with the true future demand (clairvoyant)",
    ),
    "kpa": ("kpa:Kpa", "Knative Pod Autoscaler for each stage: tasks in flight or per second, or by a manifest"),
    "ray_serve": ("ray_serve:RayServe", "Ray Serve autoscaling for each stage: ongoing requests, or by a config file"),
    "keda": ("keda:Keda", "KEDA for each stage: a threshold, or a ScaledObject with cron and other triggers"),
}
_RESERVED = ("name", "label", "wrap", "options")


@dataclass(frozen=True)
class PolicySpec:
    """A specification taken apart: ``name`` as in the registry or ``file.py:Class``."""

    name: str
    label: str
    options: dict[str, Any]
    wrap: tuple[dict[str, Any], ...] = ()


def available_policies() -> dict[str, str]:
    """One line on each policy that can be named: built-in, then installed; nothing is imported."""
    installed = {name: f"Installed: {point.value}" for name, point in sorted(installed_policies().items())}
    return {**{name: summary for name, (_, summary) in _BUILT_IN.items()}, **installed}


def policy_class(name: str, base: Path | None = None) -> type[Any]:
    """The class that a name or ``file.py:Class`` stands for; errors as in `validate_spec`."""
    return _policy_class(_parse(name).name, base)


def policy_label(spec: str | Mapping[str, Any]) -> str:
    """Name under which results are listed: ``label`` if given, else the policy's name (a file's class)."""
    return _parse(spec).label


def validate_spec(spec: str | Mapping[str, Any], *, base: Path | None = None) -> PolicySpec:
    """Check everything about a specification that can be checked before a run.

    The policy exists and can be imported, its options are known and their values allowed; the same for
    wrappers.

    Parameters
    ----------
    base
        Folder that relative paths of policy files start from; the current one by default.

    Raises
    ------
    InputError
        With the place, the problem and the fix.
    """
    parsed = _parse(spec)
    where = f"policy {parsed.name}"
    chosen = _policy_class(parsed.name, base)
    _check_options(chosen, _from_base(chosen, parsed.options, base), where)
    for entry in parsed.wrap:
        _wrapper(entry, where)
    return parsed


def make_policy(spec: str | Mapping[str, Any], context: PolicyContext, *, base: Path | None = None) -> Policy:
    """A fresh policy for one run, wrapped as the specification says; errors as in `validate_spec`."""
    parsed = _parse(spec)
    where = f"policy {parsed.name}"
    chosen = _policy_class(parsed.name, base)
    options = _from_base(chosen, parsed.options, base)
    _check_options(chosen, options, where)
    whole = context
    standing = bool(whole.facts.min_replicas.any()) and not getattr(chosen, "counts_standing", False)
    if standing:
        context = above_standing(whole)
    try:
        from_context = hasattr(chosen, "from_context")
        policy = chosen.from_context(context, **options) if from_context else chosen(**options)
    except RecfleetError:
        raise
    except Exception as error:
        raise InputError(
            where, f"it cannot be built: {describe(error)}", "correct its constructor or options"
        ) from error
    if not callable(getattr(policy, "decide", None)):
        raise InputError(where, f"from_context made a {type(policy).__name__} without decide", "return a policy")
    if standing:
        policy = AboveStanding(policy, whole.facts)
    for entry in parsed.wrap:
        wrapper, options = _wrapper(entry, where)
        policy = wrapper(policy, whole.facts, options)
    return policy


def _parse(spec: str | Mapping[str, Any]) -> PolicySpec:
    if isinstance(spec, str):
        spec = {"name": spec}
    if not isinstance(spec, Mapping) or not isinstance(spec.get("name"), str) or not spec["name"].strip():
        raise InputError(f"policy {spec!r}", "it has no name", f"give one of {', '.join(_BUILT_IN)} or file.py:Class")
    given = spec["name"].strip()
    name = given if split_file_spec(given) else _known(given)
    nested = spec.get("options") or {}
    wrap = spec.get("wrap") or ()
    if not isinstance(nested, Mapping):
        raise InputError(f"policy {name} options", f"{nested!r} is not a mapping", "give option: value")
    if not isinstance(wrap, list | tuple) or not all(isinstance(w, Mapping | str) for w in wrap):
        raise InputError(f"policy {name} wrap", f"{wrap!r} is not a list of wrappers", "give a list of {name: ...}")
    options = {**{k: v for k, v in spec.items() if k not in _RESERVED}, **nested}
    entries = tuple({"name": w} if isinstance(w, str) else dict(w) for w in wrap)
    return PolicySpec(name, str(spec.get("label") or _short(name)), options, entries)


def _known(given: str) -> str:
    """The registered name: as given, or with underscores for dashes."""
    installed = installed_policies()
    for name in (given, given.replace("-", "_")):
        if name in _BUILT_IN or name in installed:
            return name
    known = [*_BUILT_IN, *installed]
    raise InputError(
        f"policy {given}",
        "there is no policy of this name",
        suggestion(given.replace("-", "_"), known, "policies") + " (or give path/to/file.py:Class)",
    )


def _short(name: str) -> str:
    file = split_file_spec(name)
    return name if file is None else (file[1] or Path(file[0]).stem)


def _policy_class(name: str, base: Path | None) -> type[Any]:
    if name in _BUILT_IN:
        module, attribute = _BUILT_IN[name][0].split(":")
        built_in: type[Any] = getattr(import_module(f"optimizer.policies.{module}"), attribute)
        return built_in
    file = split_file_spec(name)
    if file is not None:
        return load_policy_class(*file, base)
    where = f"policy {name}"
    try:
        loaded = installed_policies()[name].load()
    except Exception as error:
        raise InputError(
            where, f"loading it fails: {describe(error)}", "reinstall the package that brings it"
        ) from error
    return check_policy_class(loaded, where)


def _from_base(chosen: type[Any], options: Mapping[str, Any], base: Path | None) -> dict[str, Any]:
    """Options in which files (those that ``Options.FILES`` names: a path, or paths by stage) start from ``base``."""
    files = getattr(getattr(chosen, "Options", None), "FILES", ())

    def placed(value: Any) -> Any:
        return str((base or Path()) / Path(value).expanduser()) if isinstance(value, str) else value

    return {
        name: ({k: placed(v) for k, v in value.items()} if isinstance(value, Mapping) else placed(value))
        if name in files
        else value
        for name, value in options.items()
    }


def _check_options(chosen: type[Any], options: Mapping[str, Any], where: str) -> None:
    """Names against the options that the class takes; values where it has an ``Options`` dataclass."""
    declared = getattr(chosen, "Options", None)
    if declared is not None and hasattr(declared, "__dataclass_fields__"):
        _check_names([f.name for f in fields(declared)], options, where)
        _build_options(declared, options, where)
        return
    target = chosen.from_context if hasattr(chosen, "from_context") else chosen
    try:
        parameters = list(inspect.signature(target).parameters.values())
    except (TypeError, ValueError):
        return
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return
    taken = parameters[1:] if hasattr(chosen, "from_context") else parameters
    _check_names([p.name for p in taken if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD)], options, where)


def _check_names(known: list[str], options: Mapping[str, Any], where: str) -> None:
    for key in options:
        if key not in known:
            raise InputError(f"{where} option {key}", "it has no such option", suggestion(str(key), known, "options"))


def _build_options(declared: type[Any], options: Mapping[str, Any], where: str) -> Any:
    try:
        return declared(**options)
    except InputError as error:
        raise InputError(f"{where} option {error.where}", error.problem, error.fix) from error


def _wrapper(entry: Mapping[str, Any], where: str) -> tuple[type[Any], Any]:
    from optimizer.wrappers import WRAPPERS

    name = str(entry.get("name", "")).replace("-", "_")
    if name not in WRAPPERS:
        raise InputError(f"{where} wrap", f"there is no wrapper {name!r}", suggestion(name, WRAPPERS, "wrappers"))
    options = {k: v for k, v in entry.items() if k != "name"}
    place = f"{where} wrap {name}"
    _check_names([f.name for f in fields(WRAPPERS[name].Options)], options, place)
    return WRAPPERS[name], _build_options(WRAPPERS[name].Options, options, place)
