"""Dashboards for Grafana, made from `higr.metrics`; written by `python -m monitoring dashboards`."""
