"""What a real server did held against what the simulator predicts from a profile (docs/fidelity.md)."""
