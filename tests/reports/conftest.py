"""The offices of the functional tests, for what users have reported."""

from functional.conftest import _programs, keeper, office, pytest_generate_tests, shared

__all__ = ["_programs", "keeper", "office", "pytest_generate_tests", "shared"]
