"""The operations of a running server over its `admin.sock`, without the command line in between."""
import http.client
import json
import socket


class _Connection(http.client.HTTPConnection):
    def __init__(self, path, seconds):
        super().__init__("btvep", timeout=seconds)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self.path))


def operation(server, method, path, body=None, seconds=60.0):
    """Returns `(status, value)`."""
    connection = _Connection(server.folder / "state" / "admin.sock", seconds)
    try:
        connection.request(method, path, json.dumps(body) if body is not None else None,
                           {"content-type": "application/json"})
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()
