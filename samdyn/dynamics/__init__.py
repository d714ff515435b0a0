"""The engine of all sampling: how copies of a system are moved, step by step, many at a time.

| what | where |
|---|---|
| the random inputs of a step: normal numbers, batches | `draws` |
| the coefficients of a step: lr, rho, schedules | `clock` |
| several steps of many copies, in numpy, torch or C++ | `advance` |
"""
