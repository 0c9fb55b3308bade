"""Bulk importer of historical helpdesk conversations into Dixa.

One path: read → validate → relate → plan → push → report.
"""

__version__ = "0.1.0"
