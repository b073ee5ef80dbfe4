"""Renderings of benchmark results: a page for a browser, Markdown for a model card."""
