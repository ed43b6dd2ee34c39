"""A relay before an AMQP peer: frames towards the client get the nulls at their end that AMQP lets a sender leave out.

Event Hubs sends them and its Python client counts on them; Proton leaves them out, as it may. TLS, if any, ends here.
"""

from __future__ import annotations

import socket
import ssl
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_FIELDS = {0x10: 10, 0x11: 8, 0x12: 14, 0x13: 11, 0x14: 11, 0x15: 6, 0x16: 3, 0x17: 1, 0x18: 1}
"""How many fields a performative has, by the code of its descriptor."""
_NULL, _EMPTY, _SHORT, _LONG = 0x40, 0x45, 0xC0, 0xD0


@contextmanager
def relay_to(port: int, tls: ssl.SSLContext | None = None) -> Iterator[int]:
    """Relay connections to a port of this machine; yields the port to connect to."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=_accept, args=(listener, port, tls), daemon=True).start()
        yield int(listener.getsockname()[1])
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)


def _accept(listener: socket.socket, port: int, tls: ssl.SSLContext | None) -> None:
    with suppress(OSError):
        while True:
            client, _ = listener.accept()
            threading.Thread(target=_connect, args=(client, port, tls), daemon=True).start()


def _connect(client: socket.socket, port: int, tls: ssl.SSLContext | None) -> None:
    with suppress(OSError):
        near = tls.wrap_socket(client, server_side=True) if tls else client
        far = socket.create_connection(("127.0.0.1", port))
        threading.Thread(target=_copy, args=(far, near), daemon=True).start()
        with near, far, suppress(OSError):
            while piece := near.recv(1 << 16):
                far.sendall(piece)
    client.close()


def _copy(far: socket.socket, near: socket.socket) -> None:
    """From the peer to the client, until either ends."""
    waiting = bytearray()
    with suppress(OSError):
        while piece := far.recv(1 << 16):
            waiting += piece
            near.sendall(b"".join(_whole_frames(waiting)))
    with suppress(OSError):
        near.shutdown(socket.SHUT_RDWR)


def _whole_frames(waiting: bytearray) -> Iterator[bytes]:
    """Take the whole frames off the front, completed; a protocol header is eight bytes."""
    while len(waiting) >= 8:
        size = 8 if waiting.startswith(b"AMQP") else struct.unpack_from(">I", waiting)[0]
        if len(waiting) < size:
            return
        frame = bytes(waiting[:size])
        del waiting[:size]
        yield frame if frame.startswith(b"AMQP") else _completed(frame)


def _completed(frame: bytes) -> bytes:
    begin = frame[4] * 4
    if frame[5] or len(frame) == begin:  # of SASL, or an empty one that keeps the connection alive
        return frame
    code, kind, after = frame[begin + 2], frame[begin + 3], begin + 4
    count, end, fields = 0, after, b""
    if kind == _SHORT:
        count, end = frame[after + 1], after + 1 + frame[after]
        fields = frame[after + 2 : end]
    elif kind == _LONG:
        size, count = struct.unpack_from(">II", frame, after)
        end = after + 4 + size
        fields = frame[after + 8 : end]
    else:
        assert kind == _EMPTY
    fields += bytes([_NULL]) * (_FIELDS[code] - count)
    body = frame[begin : begin + 3] + bytes([_LONG]) + struct.pack(">II", len(fields) + 4, _FIELDS[code]) + fields
    payload = frame[end:]
    return struct.pack(">I", begin + len(body) + len(payload)) + frame[4:begin] + body + payload
