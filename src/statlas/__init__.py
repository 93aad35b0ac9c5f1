"""statlas: a statistical atlas of methods that you can find, run and check.

Importing this package is cheap on purpose: areas, numerical libraries and figures are loaded when
they are first used.
"""

__version__ = "0.1.0"
