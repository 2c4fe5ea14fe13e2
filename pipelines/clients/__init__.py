"""One file per outside system, one third-party library each, blind to one another.

Each satisfies a protocol of `ports` by its shape, copies at the edge, and turns every failure of its
library into an error of `errors`.
"""
