"""The shipped profiles, one JSON file each; `workloads.catalogue` finds them."""
