"""`python -m workloads.server.patterns DATA --out FILE.npz`: real arrivals as gaps of mean 1, to bring to a rate.

Two stretches of published logs, both CC BY 4.0: impressions of a fashion shop's recommendations (Open Bandit Dataset,
ZOZO), and requests to a code assistant (Azure LLM inference trace 2023; Patel et al., Splitwise, ISCA 2024), which
come in bursts (coefficient of variation 13). Needs pandas.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

from workloads.atomic_files import replace_file
from workloads.errors import InputError, RecfleetError

__all__ = ["main", "write_patterns"]

_SOURCES = {
    "impressions": ("obd_impressions.parquet", "timestamp", 14_000, 34_000),
    "code_assistant": ("arrivals_azure_llm2023_code.parquet", "arrival", 0, 8_818),
}
"""File, column, and the first and last gap of the stretch."""


def write_patterns(data: Path, out: Path) -> None:
    """Read the logs in a folder and write ``gap[request]`` of each, float32.

    Raises
    ------
    InputError
        A log is missing or is not what it should be, or the file cannot be written.
    """
    import pandas as pd

    gaps = {}
    for name, (file, column, first, last) in _SOURCES.items():
        if not (data / file).is_file():
            raise InputError(str(data / file), "there is no such file", "give the folder of real traces")
        try:
            times = pd.read_parquet(data / file, columns=[column])[column]
        except (OSError, ValueError, KeyError) as error:
            problem = f"cannot be read ({str(error).splitlines()[0]})"
            raise InputError(str(data / file), problem, "give the folder of real traces") from None
        gap_s = np.diff(np.sort(times.to_numpy("datetime64[us]")).astype(np.int64))[first:last] / 1e6
        gaps[name] = (gap_s / gap_s.mean()).astype(np.float32)

    def write(path: Path) -> None:
        with path.open("wb") as target:
            np.savez_compressed(target, **gaps)

    try:
        replace_file(out, write)
    except OSError as error:
        raise InputError(f"--out {out}", f"cannot be written ({error.strerror})", "give a path that can") from None


def main(arguments: list[str] | None = None) -> int:
    """0 where the file was written, 2 where it cannot be or the logs are not there."""
    parser = argparse.ArgumentParser(prog="python -m workloads.server.patterns", description=__doc__)
    parser.add_argument("data", type=Path, help="folder of real traces")
    parser.add_argument("--out", type=Path, required=True, help="npz file to write")
    options = parser.parse_args(arguments)
    try:
        write_patterns(options.data, options.out)
    except RecfleetError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
