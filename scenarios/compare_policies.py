"""Three policies over the demo's day, two seeds each: what a peak-sized fleet, an autoscaler and a solver would cost.

Run it as ``python scenarios/compare_policies.py``; it leaves its report in ``out/compare_policies``.
"""

from pathlib import Path

import recfleet as rf

POLICIES = ["static_peak", "hpa", "mip"]
COLUMNS = ["policy", "seed", "cost_usd", "slo_attainment", "p99_ms", "utilisation_gpu", "utilisation_cpu"]

if __name__ == "__main__":  # the worker processes import this file
    scenario = rf.load_scenario(Path(__file__).with_name("demo.yaml"))
    out = Path("out") / "compare_policies"
    comparison = rf.compare(scenario, POLICIES, seeds=2, out=out, workers=None)
    print(comparison.summary[COLUMNS].to_string(index=False, float_format="%.4g"))
    print(comparison.conservation)
    print(f"Verdict: {comparison.verdict}")
    print(f"report: {out / 'report.html'}")
