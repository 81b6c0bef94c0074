"""The documentation: pages in Markdown, the settings of Sphinx (conf.py) and the parts that are generated from the code."""
