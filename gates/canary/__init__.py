"""Is the candidate worse than the stable version? Counts of both arms, looked at as often as one likes."""
