"""Argo Workflows: what is written for it, checked of it, and run as it would run it.

``lint`` holds YAML against the fields and the rules of Argo, offline. ``running`` is a small engine of its
own for workflows of containers: a pure core that says what is to be launched next, and a runner that
launches it on this machine.
"""
