"""Pictures by the clock: network addresses, cameras, standard input."""
