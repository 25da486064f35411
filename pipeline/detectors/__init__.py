"""One file per control map. A detector turns a picture into a map of exactly the same height and width."""
