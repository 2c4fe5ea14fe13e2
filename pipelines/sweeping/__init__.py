"""Keeps promotions moving that run as Argo workflows: one look at all of them, again and again.

A workflow waits at a Suspend node without a pod, and nothing in it knows when the wait is over: the journal
does. ``actions`` says what follows for one promotion, and is pure; ``sweeper`` reads, looks and acts.
"""
