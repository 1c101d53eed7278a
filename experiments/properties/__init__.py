"""The studies of nets' properties; `python -m experiments.properties` runs them."""
