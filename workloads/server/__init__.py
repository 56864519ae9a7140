"""A real server for models of the zoo: batches by the simulator's rules, replays arrivals by the wall clock, logs.

It exists to hold the simulator against reality: `python -m workloads.server PLAN.json --out DIR` measures, and
`recfleet validate` compares. The package needs torch, numpy, safetensors and pydantic, and no other library, so that
it runs on a bare machine with a GPU. `docs/fidelity.md` says what it does and how.
"""
