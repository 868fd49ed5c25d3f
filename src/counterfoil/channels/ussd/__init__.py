"""Accounts on any telephone, by dialling a code: screens, sessions on the server, and what a gateway asks and is answered."""
