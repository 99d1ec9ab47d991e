"""Printed numbers read back: which quantity it was, and what would print exactly that."""
