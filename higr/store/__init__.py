"""Versions of the bundle where they are served from: a folder or an object store, and who put which there.

<root>/versions/<version>/   the bundle's files; never changed
<root>/history/              one file an act (publish, promote, rollback, retire); never changed
"""
