"""Replicas on named nodes: heuristics, patterns with a proof, lower bounds, moves."""
