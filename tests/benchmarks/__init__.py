"""The benchmark and the theory table: commands of their own, which never fail on a clock.

``python -m tests.benchmarks`` (``make bench``) measures, ``python -m tests.benchmarks.parts`` shows where the time
goes, and ``python -m tests.benchmarks.theory_table`` holds the data plane against queueing theory.
"""
