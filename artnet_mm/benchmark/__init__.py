"""Networks, data pipelines and decoders, measured side by side (``tools/benchmark.py``)."""
