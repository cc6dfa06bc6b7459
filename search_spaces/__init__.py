"""One family of architectures per file. To add one, add a file; nothing else changes."""
