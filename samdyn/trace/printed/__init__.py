"""Traced functions as source: plain Python, numpy, C++ on vectors of lanes, CUDA with a path for each thread.

===================  =====================================================================
file                 what it computes or holds
===================  =====================================================================
`printing`           Python source for one point and for batches of numpy arrays
`printed_operators`  the expressions of each operator in Python
`cpp`                C++ and CUDA source (`registers.hpp` or `one_lane.hpp`, `lanes.hpp`)
`compiling`          C++ source to a loaded library
`nvrtc`              CUDA source to machine code and to a kernel on a GPU
`library_cache`      compiled libraries on disk: which are trusted, and how long they stay
===================  =====================================================================
"""
