"""Qwen2.5-VL and Qwen3-VL on the CPU in svlm's own lines, for streaming alone.

No import of transformers, fused products. What has more than the plain case is left to transformers,
which also trains every model.
"""
