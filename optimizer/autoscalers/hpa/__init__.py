"""Kubernetes' Horizontal Pod Autoscaler (autoscaling/v2): pure functions of numbers and history.

Written from the documentation of Kubernetes ("Horizontal Pod Autoscaling", the autoscaling/v2 API reference, KEP-853
for behaviours, KEP-2021 for zero replicas, KEP-4951 for tolerances) and held against its published test cases
(`optimizer.conformance.hpa`). A sync reads in this order: `pods` sorts the pods, `usage` adds up their metrics,
`calculator` turns a metric into a number of replicas, `metrics` takes the largest of several, `stabilise` looks back at
earlier recommendations, `limits` and `behaviour` bound the change, and `sync` joins them.
"""
