"""Costs of a model as it will run: latency of the artefact, operations, intervals of scores."""
