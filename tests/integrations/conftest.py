from .making import checked

__all__ = ["checked"]
