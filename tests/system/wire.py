"""A TCP wire to a server that can be cut and mended."""

import contextlib
import socket
import threading


class Wire:
    """Listens on loopback and passes everything on to (host, port), until it is cut."""

    def __init__(self, host, port):
        self.target, self.connections, self.is_cut = (host, port), set(), False
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                near = self.listener.accept()[0]
                if self.is_cut:
                    near.close()
                    continue
                far = socket.create_connection(self.target)
                self.connections |= {near, far}
                threading.Thread(target=self._pass, args=(near, far), daemon=True).start()
                threading.Thread(target=self._pass, args=(far, near), daemon=True).start()

    def _pass(self, source, sink):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
        for end in (source, sink):
            self.connections.discard(end)
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def cut(self):
        self.is_cut = True
        for end in list(self.connections):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def mend(self):
        self.is_cut = False

    def close(self):
        self.cut()
        self.listener.close()
