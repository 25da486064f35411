"""One file for each step of a photo. Steps do not depend on Ray."""
