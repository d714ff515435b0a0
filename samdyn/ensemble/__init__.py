"""Many copies of a system at once: the step on separate coordinates, and the loops that advance it."""
