"""One module per command, thin: parse, call one function, render."""
