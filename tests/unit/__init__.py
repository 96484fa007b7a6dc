"""Tests of the pure core: no root, no network, nothing outside a temporary directory."""
