"""What answers about the exercises of notebooks 02 and 03."""
