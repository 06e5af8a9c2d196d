"""The least of Redis's protocol, for programs that have no driver."""

import socket


class Error(Exception):
    """What the server refused."""


class Connection:
    def __init__(self, port, timeout=5, host="127.0.0.1"):
        self.socket = socket.create_connection((host, port), timeout)
        self.file = self.socket.makefile("rb")

    def ask(self, *words):
        parts = [word if isinstance(word, bytes) else str(word).encode() for word in words]
        text = b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)
        self.socket.sendall(text)
        return self._answer()

    def close(self):
        self.file.close()
        self.socket.close()

    def _answer(self):
        line = self.file.readline().rstrip(b"\r\n")
        kind, rest = line[:1], line[1:].decode(errors="replace")
        if kind == b"-":
            raise Error(rest)
        if kind == b"$":
            size = int(rest)
            return None if size < 0 else self.file.read(size + 2)[:-2].decode(errors="replace")
        if kind == b"*":
            return [self._answer() for _ in range(int(rest))]
        if not kind:
            raise Error("closed by the server")
        return int(rest) if kind == b":" else rest


def ask(port, *words):
    connection = Connection(port)
    try:
        return connection.ask(*words)
    finally:
        connection.close()
