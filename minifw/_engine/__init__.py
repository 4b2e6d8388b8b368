"""What runs layers, losses and parameters: it knows them by their methods alone."""
