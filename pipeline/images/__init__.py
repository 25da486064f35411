"""Photos as arrays: geometry, colour, labels, masks and file formats. No rows and no addresses."""
