"""Reads what people write: strict YAML in, frozen values or every problem at once out.

``types`` holds the values, ``yaml`` the strict loader, ``read`` the checks across files.
"""
