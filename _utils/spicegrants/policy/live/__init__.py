"""What the compiler asks the system and the name service for."""
