"""The model card: results of benchmarks and the description of the weights -> Markdown. No figure in it is typed.

After Mitchell et al., Model Cards for Model Reporting (FAT* 2019), arXiv 1810.03993. What no file of results can say (what
the weights are for, the terms of the data) comes from `prose.md`, or from a file like it.
"""
