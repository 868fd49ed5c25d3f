"""Speed: workloads, each beside a baseline from the same run. Start with `python -m bench`."""
