"""The command ``recfleet``: what it offers, and how it ends when something is wrong.

Exit codes: 0 done; 1 a result that says no (an invariant failed, an infeasible problem) or a defect of
recfleet; 2 the input cannot be used, told in a line (a scenario's fields in a line each); 130 interrupted.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Annotated, Any

import typer

from workloads.errors import RecfleetError

__all__ = ["main", "run"]

_PARTS: dict[str, tuple[str, str, str]] = {
    "compare": ("recfleet.cli_compare", "compare", "Run policies against one another and write a report."),
    "plan": ("recfleet.cli_plan", "plan", "Find the cheapest fleet and policy that meet the objectives."),
    "run": ("recfleet.cli_run", "run", "Run one policy and look inside: series, alerts, requests, a Chrome trace."),
    "policies": ("recfleet.cli_policies", "policies", "List policies and wrappers, or one's options."),
    "schema": ("recfleet.cli_listings", "schema", "Print the JSON Schema of a file format."),
    "trace": ("recfleet.cli_trace", "app", "Import, generate and describe request traces."),
    "data": ("recfleet.cli_data", "app", "Prepare logs of interactions for training."),
    "models": ("recfleet.cli_models", "models", "List the models of the zoo, or show one."),
    "train": ("recfleet.cli_train", "train", "Train a model and judge it beside baselines."),
    "evaluate": ("recfleet.cli_train", "evaluate", "Judge a trained model on a data set's test part."),
    "update": ("recfleet.cli_train", "update", "Update a trained model from new interactions."),
    "compress": ("recfleet.cli_compress", "compress", "Make a smaller variant of a trained model and measure it."),
    "profile": ("recfleet.cli_profile", "app", "Measure a model's latency by batch size on this machine."),
    "profiles": ("recfleet.cli_profiles", "profiles", "List profiles with latency, throughput, accuracy and cost."),
    "validate": ("recfleet.cli_validate", "validate", "Hold the simulator's prediction against a real server's log."),
    "calibrate": ("recfleet.cli_calibrate", "calibrate", "Fit on served logs what a profile cannot know."),
    "lp": ("recfleet.cli_lp", "lp", "Solve the document's allocation problem for a demand series."),
    "place": ("recfleet.cli_place", "place", "Place instances on named nodes, against what is proven necessary."),
    "forecast": ("recfleet.cli_forecast", "forecast", "Score forecasters of request rates on a trace's past."),
    "conformance": ("recfleet.cli_conformance", "conformance", "Check the autoscalers against published cases."),
}
"""Command to its module, the name in it (a function or a Typer app) and its line in the help."""

_HELP = """Sizes, simulates and optimises the fleet behind a recommender.

A first example: recfleet compare scenarios/demo.yaml --out out/demo
"""


def main() -> None:
    """Entry point of the command."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run the command and return its exit code; problems are told on standard error, in a line each."""
    arguments = list(arguments)
    debug = "--debug" in arguments or os.environ.get("RECFLEET_DEBUG", "") not in ("", "0")
    arguments = [a for a in arguments if a != "--debug"] or ["--help"]
    try:
        result = _app(arguments)(args=arguments, prog_name="recfleet", standalone_mode=False)
        return result if isinstance(result, int) else 0
    except KeyboardInterrupt:
        return _say("interrupted", 130)
    except RecfleetError as error:
        return _say(f"error: {error}", 2)
    except BrokenPipeError:
        sys.stderr.close()
        return 1
    except Exception as error:
        if debug:
            raise
        if hasattr(error, "format_message"):
            return _say(f"error: {_usage(error, arguments)}", 2)
        if isinstance(error, typer.Abort):
            return _say("interrupted", 130)
        kind = type(error).__name__
        return _say(
            f"defect: {kind}: {' '.join(str(error).split())} "
            "(this is not your input's fault; run again with --debug and report what it prints)",
            1,
        )


def _say(text: str, code: int) -> int:
    print(f"recfleet: {text}", file=sys.stderr)
    return code


def _usage(error: Any, arguments: Sequence[str]) -> str:
    """A wrong option or argument in one line, with where to look."""
    command = arguments[0] if arguments and arguments[0] in _PARTS else ""
    text = _in_our_words(error).strip().rstrip(".")
    return f"{text}; see recfleet {command}{' ' if command else ''}--help"


def _in_our_words(error: Any) -> str:
    """What Typer says; where it has a value checked by pydantic, it says what that says."""
    from pydantic import ValidationError

    from workloads.field_words import problem

    text = str(error.format_message())
    if isinstance(error.__cause__, ValidationError):
        text = text.replace(error.message, problem(error.__cause__.errors(include_url=False)[0]))
    return " ".join(text.split())


def _app(arguments: Sequence[str]) -> typer.Typer:
    """The application, with only the part loaded that the arguments ask for."""
    app = typer.Typer(
        help=_HELP,
        add_completion=False,
        no_args_is_help=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
    )
    app.callback()(_root)
    asked = next((argument for argument in arguments if not argument.startswith("-")), None)
    for name, (module, attribute, line) in _PARTS.items():
        if name != asked:
            app.command(name, help=line)(_not_loaded)
            continue
        part = getattr(import_module(module), attribute)
        if isinstance(part, typer.Typer):
            app.add_typer(part, name=name, help=line)
        else:
            app.command(name)(part)
    return app


def _not_loaded() -> None:
    """Stands for a part that the arguments do not ask for."""


def _print_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version as version_of

        print(f"recfleet {version_of('recfleet')}")
        raise typer.Exit(0)


def _root(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and stop.", is_eager=True, callback=_print_version)
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show where an unexpected error comes from.")] = False,
) -> None:
    del version, debug  # Read by `_print_version` and by `run`; named here for the help.


_root.__doc__ = _HELP
