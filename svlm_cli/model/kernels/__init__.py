"""Compiled kernels for the CPU; where they are not there, torch computes the same."""
