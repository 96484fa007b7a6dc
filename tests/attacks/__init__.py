"""Attacks on a workstation, each played on a client without any protection, with the recipe's, and with ours."""
