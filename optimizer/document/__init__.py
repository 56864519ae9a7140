"""The document's allocation problem in parts: data, closed forms, models in two libraries, read-back, rolling."""
