"""What answers about the exercises of notebook 01."""
