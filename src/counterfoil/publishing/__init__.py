"""The publisher: the process beside the server that writes and signs the log, because hashing there would cost payments."""
