"""Measurements that take minutes to an hour, outside the test suite; see README.md beside this."""
