"""Forecasts of request rates: a history in, the next intervals with quantiles out; and how they are scored.

`methods.make_forecaster` builds one by name, `backtest.backtest` scores one on a past.
"""
