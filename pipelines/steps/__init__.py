"""One file per step; each looks for what an earlier run of itself left, and adopts it."""
