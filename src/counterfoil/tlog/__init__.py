"""The transparency log: an append-only Merkle tree in static files, its signed heads, and what can be proven from them.

Source: RFC 6962 §2.1; C2SP signed-note, tlog-checkpoint, tlog-cosignature, tlog-tiles, tlog-proof, tlog-policy (v1).
"""
