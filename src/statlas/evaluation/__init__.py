"""How good is a model, and how sure is that? Names are in ``__init__.pyi``, loaded on first use."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
