"""Autoscalers that people run today, as functions of numbers and history; `optimizer.policies` wraps them."""
