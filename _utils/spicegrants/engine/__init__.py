"""One run: closes first, plans all layers, applies them in order, and reads back.

The only place that knows all layers.
"""
