"""Options of the whole test suite."""


def pytest_addoption(parser):
    parser.addoption(
        "--update-golden",
        action="store_true",
        help="write the expected files in tests/golden anew; look at the difference before you commit it",
    )
    parser.addoption(
        "--one-mechanism",
        action="store_true",
        help="play each test by the first of the mechanisms that may hold the guard, not by all",
    )
