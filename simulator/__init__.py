"""The simulated fleet: cluster, scenario, control plane (SimPy), data plane (compiled), metrics."""
