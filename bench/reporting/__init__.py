"""What the results say: tables, plots and targets, from their JSON alone."""
