"""What every paper stands on: the contract, tables in, reports out, errors, randomness, figures.

Names are listed in ``__init__.pyi`` and loaded on first use, so that importing
`statlas.core.errors` alone stays cheap.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
