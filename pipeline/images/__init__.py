"""Images as arrays: geometry, colours, labels, masks and file formats. Nothing here depends on rows or addresses."""
