"""Kubeflow pipelines over `components`, compiled for a cluster or run on this machine: one definition."""
