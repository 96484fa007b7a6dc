"""Foundations of all other packages: errors, validation of hostile text, changes and files as values, paths.

Pure, and knows nothing of grants.
"""
