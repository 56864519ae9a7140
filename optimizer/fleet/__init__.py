"""The allocation problem of one instant: its data, its solvers, and the check that an answer holds."""
