"""Sources of CPU time: one protocol, one file each."""
