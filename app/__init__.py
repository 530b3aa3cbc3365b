"""Numbers become pixels: mirror, views, sessions, blocks, and the program behind ./tickglass."""
