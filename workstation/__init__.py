"""Helpers for whoever runs Hardway from this computer: `make doctor`, `make ami`, `make cost`.

Nothing here is needed to build a cluster, and nothing here changes one.
"""
