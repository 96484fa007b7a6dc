"""Engine of a run: close first, plan all layers, apply them in order, and read back.

The only package that knows all layers.
"""
