"""What the extension does to a real system: every test runs Salt in a machine of its own."""
