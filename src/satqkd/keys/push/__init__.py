"""Whole blocks on their way from a node that flies passes to its key server, each exactly once."""
