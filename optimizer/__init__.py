"""Allocation policies, the mathematics behind them, and bounds on what any policy can do.

Nothing is imported here: PuLP and OR-Tools load with the modules that solve with them.
"""
