"""Work that is shared out: over threads or processes of this machine, or over a cluster on Ray."""
