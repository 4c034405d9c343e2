"""placeholder"""

from __future__ import annotations


class RuleAgent:
    def __call__(self, pivot):
        return None
