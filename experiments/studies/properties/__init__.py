"""Studies of nets' properties; run by `python -m experiments.studies.properties`."""
