"""The least of PostgreSQL's protocol: trusted connections and simple queries, for programs that have no driver."""

import socket
import struct


class Error(Exception):
    """What the server said, with its severity in front."""


class Connection:
    def __init__(self, port, user="healer", database="postgres", options="", timeout=10, host="127.0.0.1"):
        self.socket = socket.create_connection((host, port), timeout)
        self.file = self.socket.makefile("rb")
        words = ["user", user, "database", database, "application_name", user, "options", options]
        body = struct.pack("!I", 196608) + b"".join(word.encode() + b"\0" for word in words) + b"\0"
        self.socket.sendall(struct.pack("!I", len(body) + 4) + body)
        self._answer()

    def query(self, sql):
        """The rows, every value as text or None."""
        body = sql.encode() + b"\0"
        self.socket.sendall(b"Q" + struct.pack("!I", len(body) + 4) + body)
        return self._answer()

    def close(self):
        self.file.close()
        self.socket.close()

    def _answer(self):
        rows, error = [], None
        while True:
            kind, body = self._message()
            if kind == b"D":
                rows.append(columns(body))
            elif kind == b"E":
                error = Error(text_of(body))
                # Nothing follows where the connection itself was refused or ended.
                if str(error).startswith(("FATAL", "PANIC")):
                    raise error
            elif kind == b"Z":
                if error:
                    raise error
                return rows

    def _message(self):
        head = self.file.read(5)
        if len(head) < 5:
            raise Error("FATAL: server closed the connection unexpectedly")
        body = self.file.read(struct.unpack("!I", head[1:])[0] - 4)
        return head[:1], body


def columns(body):
    count, at, values = struct.unpack("!H", body[:2])[0], 2, []
    for _ in range(count):
        length = struct.unpack("!i", body[at : at + 4])[0]
        at += 4
        values.append(None if length < 0 else body[at : at + length].decode())
        at += max(length, 0)
    return values


def text_of(body):
    fields = {part[:1]: part[1:].decode(errors="replace") for part in body.split(b"\0") if part}
    return f"{fields.get(b'V', 'ERROR')}: {fields.get(b'M', '')}"


def ask(port, sql, **options):
    """One query on a connection of its own."""
    connection = Connection(port, **options)
    try:
        return connection.query(sql)
    finally:
        connection.close()
