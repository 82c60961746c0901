"""Qwen2.5-VL on the CPU in svlm's own lines, for streaming alone: no import of transformers, fused products.

What a checkpoint has beyond the plain case is left to transformers, which also trains every model.
"""
