"""The machinery under everything else: argument checks, batching, tracing, randomness."""
