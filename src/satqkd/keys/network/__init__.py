"""Key between nodes that share no light: relay, combination, commands, key of other systems."""
