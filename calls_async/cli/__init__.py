"""The command line: arguments, progress, printing, exit codes. What it does, the rooms below do."""
