"""Read and judge: every gate reads the world and returns a verdict; nothing here writes."""
