"""What managers and agents say to each other."""
