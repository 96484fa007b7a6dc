"""Code in the viewer, and what it holds"""
