"""The built-in policies, one file each; `optimizer.registry` names them."""
