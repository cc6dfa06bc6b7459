"""From files on disk to sealed, split samples in memory; imports no torch."""
