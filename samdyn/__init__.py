"""samdyn: the dynamics of Sharpness-Aware Minimization, as a map, a flow and a diffusion.

    import samdyn as sd

is the whole interface: landscapes, rules, the three views, and one verb for each analysis.

A name is loaded when it is used first, from the module that `__init__.pyi` gives for it: importing the
package takes a few milliseconds.
"""

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
