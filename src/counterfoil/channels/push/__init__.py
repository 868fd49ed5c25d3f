"""Web Push: a phone whose app sleeps is woken, and shows that there is news; what it is, only the opened app says."""
