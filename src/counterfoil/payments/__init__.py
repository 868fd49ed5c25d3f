"""Orders, authorisation, holds and capture, requests, refunds, fees and receipts: what moves money, and why it may."""
