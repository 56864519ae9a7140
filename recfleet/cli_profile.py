"""``recfleet profile``: measure a model on a device and write its profile."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workloads.errors import InputError, RecfleetError

if TYPE_CHECKING:
    from workloads.profiler.settings import ProfileSettings

__all__ = ["app", "profile"]


def profile(
    model: Annotated[str | None, typer.Argument(help="See recfleet models.", show_default=False)] = None,
    model_folder: Annotated[
        Path | None, typer.Option(help="A trained or compressed model to profile as it was saved.")
    ] = None,
    method: Annotated[
        str,
        typer.Option(help="Compress the random weights first, as recfleet compress names it: structured+int8-weight."),
    ] = "",
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    precision: Annotated[
        str | None, typer.Option(help="fp32 or bf16. By default the model folder's own, else fp32.")
    ] = None,
    mode: Annotated[str, typer.Option(help="eager or compiled; on CUDA cuda_graph or compiled_graph too.")] = "eager",
    sizes: Annotated[str | None, typer.Option(help="Batch sizes, rising: 1,2,4. By default a fine grid.")] = None,
    timing_s: Annotated[float, typer.Option(help="Time for timings, in seconds.")] = 60.0,
    fewest_runs: Annotated[int, typer.Option(help="Timings of each size, at least.")] = 30,
    threads: Annotated[
        str, typer.Option(help="Host threads, 0 for every core (one beside CUDA); 1,2 makes two profiles.")
    ] = "0",
    patience_s: Annotated[
        float, typer.Option(help="On a CPU, wait so long in all for other work on the machine to stop.")
    ] = 0.0,
    replicas: Annotated[
        str | None, typer.Option(help="Measure the interference of so many replicas on the device: 2,3.")
    ] = None,
    interference_s: Annotated[float, typer.Option(help="Time for that, in seconds.")] = 30.0,
    roofline: Annotated[
        bool, typer.Option("--roofline", help="Measure the device's ceilings and compare with them.")
    ] = False,
    no_power: Annotated[bool, typer.Option("--no-power", help="On CUDA, leave out the measurement of power.")] = False,
    seed: Annotated[int, typer.Option(help="Seed of weights, inputs and order.", min=0)] = 20_261,
    name: Annotated[str, typer.Option(help="The profile's name. [made of model, device, precision and mode]")] = "",
    out: Annotated[
        Path | None, typer.Option(help="File to write (a folder for several profiles); by default NAME.json here.")
    ] = None,
    weights_folder: Annotated[Path | None, typer.Option(help="Keep the drawn weights here.")] = None,
) -> None:
    """Measure a model's latency by batch size on this machine, and write it as a profile.

    Needs torch (the extra recfleet[torch]); reading profiles does not. Exit code 2: the input cannot be used.

    Examples: recfleet profile dlrm --device cuda --mode cuda_graph ; recfleet profile --model-folder out/dlrm
    """
    try:
        if (model is None) == (model_folder is None):
            raise InputError(
                "profile", "takes a model's name or --model-folder", "give one of them; see recfleet models"
            )
        if method and model_folder is not None:
            raise InputError(
                "--method", "is for random weights", "run recfleet compress on the folder, and profile its result"
            )
        from workloads.profiler.settings import ProfileSettings

        first = ProfileSettings(
            model=model or "",
            device_kind=device,
            precision=precision or "",
            mode=mode,
            batch_sizes=_numbers("--sizes", sizes),
            timing_s=timing_s,
            fewest_runs=fewest_runs,
            patience_s=patience_s,
            seed=seed,
            weights_folder=weights_folder,
            model_folder=model_folder,
            method=method,
            name=name,
            replicas=_numbers("--replicas", replicas),
            interference_s=interference_s,
            roofline=roofline,
            power=not no_power,
        )
        _measure([replace(first, threads=count) for count in _numbers("--threads", threads)], out)
    except RecfleetError as error:
        typer.echo(f"recfleet: error: {error}", err=True)
        raise typer.Exit(2) from None


app = profile
"""What the command line mounts."""


def _numbers(option: str, text: str | None) -> tuple[int, ...]:
    if text is None:
        return ()
    try:
        return tuple(int(part) for part in text.replace(",", " ").split())
    except ValueError:
        raise InputError(option, f"{text!r} is not a list of whole numbers", "write it as 1,2,4,8") from None


def _measure(runs: list[ProfileSettings], out: Path | None) -> None:
    """Measure with a display, write the files, show the results."""
    from workloads.models import model_module
    from workloads.profile import profile_from_document, save_profile
    from workloads.profiler import import_profiler

    if len(runs) != 1 and any(run.name for run in runs):
        raise InputError("--name", "is one name for several profiles", "leave it out, or measure one at a time")
    if runs and runs[0].model:
        model_module(runs[0].model)
    profile_model = import_profiler()
    _refuse_unwritable(out, several=len(runs) > 1)
    for settings in runs:
        document = _with_display(profile_model, settings)
        path = Path(f"{document['name']}.json")
        if out is not None:
            path = out / path if len(runs) > 1 else out
        save_profile(document, path)
        from recfleet.profile_tables import print_profile

        print_profile(profile_from_document(document))
        typer.echo(f"Written to {path}")


def _with_display(profile_model: Any, settings: ProfileSettings) -> dict[str, Any]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    label = settings.model or settings.model_folder.name if settings.model_folder else settings.model
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as display:
        task = display.add_task(f"{label}: starting", total=1)

        def tell(phase: str, done: int, total: int) -> None:
            display.update(task, description=f"{label}: {phase}", completed=done, total=total)

        return profile_model(settings, tell)


def _refuse_unwritable(out: Path | None, several: bool) -> None:
    """Find out before the measurement, not after it."""
    if several:
        if out is not None and not out.is_dir():
            raise InputError(f"--out {out}", "is no folder", "create it: each profile becomes a file in it")
        return
    folder = (out if out is not None else Path("x")).absolute().parent
    if out is not None and out.is_dir():
        raise InputError(f"--out {out}", "is a folder", "give a file name ending in .json")
    if not folder.is_dir():
        raise InputError(f"--out {out}", f"there is no folder {folder}", "create it or give another path")
