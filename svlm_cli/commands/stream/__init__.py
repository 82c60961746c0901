"""``svlm stream``: options, one run, what is shown."""
