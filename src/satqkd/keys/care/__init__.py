"""What operators do with a store as a whole: backup, restore, new locks, sealed export, metrics."""
