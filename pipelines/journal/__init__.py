"""The append-only record of one promotion, and what follows from it.

``events`` says what can happen, ``lines`` how it is written and chained, ``state`` what it adds up to.
"""
