"""One file for each step of a photo. A step knows nothing of Ray."""
