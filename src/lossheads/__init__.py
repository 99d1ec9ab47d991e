"""lossheads: compare loss heads honestly.

Importing this package imports nothing heavy; torch arrives with the module that needs it.
"""

__version__ = "0.1.0"
