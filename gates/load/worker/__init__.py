"""The load generator, a process of its own: a job as JSON on stdin, recordings as JSON on stdout.

Open loop: arrivals follow a seeded Poisson schedule whatever the target does, and latency counts from the
instant the schedule wanted, so a target that stalls is charged for everybody who waited. Nothing else of
lockgate imports locust or gevent: importing locust patches sockets for the whole process.

``__main__`` is locust's part, ``window`` one stretch of load, ``pacing`` wakes it in time, ``http`` asks.
"""
