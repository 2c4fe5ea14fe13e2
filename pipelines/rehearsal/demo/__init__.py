"""What is shown in a rehearsal.

- acts.py      what people and a driver do: ask, drive, sign on the page, look
- narrator.py  tells a promotion in plain sentences
- chapter.py   one promotion of a story: acted, told, and checked
- story.py     the demo: v2 to 100 %, v3 back to 0, v4 refused, and what can be asked afterwards
- live.py      a look at a world in which other terminals work
"""
