"""Readers of published traces. Each turns a file as its publisher gives it into a `Trace`."""
