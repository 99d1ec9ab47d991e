"""Algebraic checks: numbers computed without training, against numbers somebody stated."""
