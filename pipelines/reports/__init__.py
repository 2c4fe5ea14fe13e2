"""What people read of a promotion: a live tree in a terminal, JSON for programs, an HTML report to keep.

Pure: everything is computed from a promotion's journal, its state and the instant given. ``words`` says
how values are written, ``view`` how far a stage is, ``tree`` draws the terminal's screen, ``story`` tells
the journal in sentences, ``series`` and ``charts`` make pictures of it, ``html`` puts the report together.
"""
