"""A packet's way through the rules of other firewalls, which may drop what the guard accepts."""
