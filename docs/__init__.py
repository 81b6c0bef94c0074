"""The documentation: pages in Markdown, the settings of Sphinx, and the parts that are generated from the code."""
