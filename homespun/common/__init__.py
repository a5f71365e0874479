"""The small shared ground: errors, files, configuration and the console. Imports no other room."""
