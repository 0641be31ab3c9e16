"""The networks, one paper one file. Each file imports torch and nothing of ours, and can be read alone."""
