"""What the tables say and how it changes: functions on an open transaction, for every kind of row."""
