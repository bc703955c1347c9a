"""A node's store: opening, rules over its life (recovery, retirement, policy), journal and shelves."""
