"""The contestants of benchmarks/escape.py, one to a file.

Each file has `VARIANTS`, from the printed name of a contestant to a function (rule, n_paths, dim, dt, seed)
that returns its `Job`. A job answers two calls, `exit_times` for the check and `advance` for the timing.
"""
