"""One YAML file per clinical task. To add one, add a file; nothing else changes."""
