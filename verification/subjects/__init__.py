"""What is known of each package under test."""
