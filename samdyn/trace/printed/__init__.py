"""Traced functions as source: plain Python, numpy, C++ on vectors of lanes.

===================  =====================================================================
file                 what it computes or holds
===================  =====================================================================
`printing`           Python source for one point and for batches of numpy arrays
`printed_operators`  the expressions of each operator in Python
`cpp`                C++ source on vectors of lanes (`lanes.hpp`)
`compiling`          C++ source to a loaded library
`library_cache`      compiled libraries on disk: which are trusted, and how long they stay
===================  =====================================================================
"""
