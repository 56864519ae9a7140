"""The allocation problem over several slots: what to start now for what is expected until later."""
