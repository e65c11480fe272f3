"""Rules for Prometheus, made from `higr.metrics`; written by `python -m monitoring rules`."""
