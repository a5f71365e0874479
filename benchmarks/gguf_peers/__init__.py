"""Programs that the benchmark of GGUF files starts, each for itself."""
