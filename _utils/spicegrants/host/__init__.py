"""The only part of the package that reads or changes the system it runs on."""
