"""Has `python ARGUMENTS` run in a process that is forked for it (see `processes`), and ends as that does."""

import os
import sys
from _socket import AF_UNIX, SCM_RIGHTS, SOCK_STREAM, SOL_SOCKET, socket  # `socket` would take longer to import than all the rest here

if __name__ == "__main__":
    asking = socket(AF_UNIX, SOCK_STREAM)
    asking.connect(os.environ["SIMULATION_ADDRESS"])
    files = b"".join(number.to_bytes(4, sys.byteorder) for number in (0, 1))
    asking.sendmsg(["\0".join(sys.argv[1:]).encode()], [(SOL_SOCKET, SCM_RIGHTS, files)])
    os.close(0)
    os.close(1)
    sys.exit(ord(asking.recv(1) or b"\1"))
