"""``insession exchange check | start | reconnect | abort | status | replay``, see docs/exchange.md.

Needs the extras ``insession[cli,exchange]``.
"""
