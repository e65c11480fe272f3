"""Kubeflow components: each declares what a stage of `higr.stages` reads and writes, and calls it.

Imported by every running task, so nothing here may import `kfp.dsl`'s authoring half.
"""
