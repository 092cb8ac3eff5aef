"""What answers about the exercises of notebooks 04, 05 and 06."""
