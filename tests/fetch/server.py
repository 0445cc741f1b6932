"""A mirror of the NixOS project on this machine that misbehaves on purpose, and a proxy. Standard library only.

The first part of a path says how: `/cut/nixos-25.11/latest-…` is answered as `cut` is told to below. `log` lists what was asked.
"""
import contextlib
import hashlib
import http.server
import re
import socket
import ssl
import threading

NAME = "nixos-{edition}-{version}-{arch}-linux.iso"
OLD, NEW = "25.11.1.aaaaaaa", "25.11.2.bbbbbbb"


class Mirror:
    """An HTTP or HTTPS server on a port of its own. `image` is what it publishes as OLD, `newer` as NEW."""

    def __init__(self, image, newer, context=None):
        self.images = {OLD: image, NEW: newer}
        self.published = b""
        self.log, self.counts, self.gate = [], {}, threading.Event()
        mirror = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def do_GET(self):
                mirror.log.append((self.path, {k.lower(): v for k, v in self.headers.items()}))
                self.close_connection = True
                with contextlib.suppress(OSError):
                    mirror.answer(self)

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_):
                pass

            def finish_request(self, request, address):
                if context:
                    request.settimeout(10)
                    request = context.wrap_socket(request, server_side=True)
                super().finish_request(request, address)
                if context:
                    with contextlib.suppress(OSError):
                        request.unwrap()

        self.server = Server(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        self.url = f"http{'s' if context else ''}://127.0.0.1:{self.port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        self.gate.set()
        self.server.shutdown()
        self.server.server_close()

    def asked(self, end):
        """The headers of all requests whose path ends so."""
        return [headers for path, headers in self.log if path.endswith(end)]

    def answer(self, h):
        mode, rest = re.match(r"/([^/]*)(/.*)", h.path).groups()
        found = re.search(r"latest-nixos-(.*)-(x86_64|aarch64)-linux\.iso$", rest)
        if found:
            self.latest(h, mode, *found.groups())
        elif rest.endswith(".sha256"):
            self.checksum(h, mode, rest)
        elif rest.endswith(".keys"):
            self.keys(h, mode)
        elif rest.endswith(".iso"):
            self.image(h, mode, rest)
        else:
            send(h, 404, b"")

    def latest(self, h, mode, edition, arch):
        version = NEW if mode == "newer" else OLD
        name = NAME.format(edition="graphical" if mode == "other-edition" else edition, version=version, arch=arch)
        target = f"/{mode}/releases/nixos-{version}/{name}"
        if mode == "circle":
            n = self.count("circle")
            return send(h, 302, b"", location=f"/circle/{n % 2}/latest-nixos-{edition}-{arch}-linux.iso")
        if mode == "itself":
            return send(h, 302, b"", location=h.path)
        if mode == "endless-redirects":
            return send(h, 302, b"", location=f"/{mode}/{self.count(mode)}/latest-nixos-{edition}-{arch}-linux.iso")
        if mode == "no-location":
            return send(h, 302, b"")
        if mode == "odd-location":
            return send(h, 302, b"", location="ftp://127.0.0.1/x.iso")
        if mode == "downgrade":
            return send(h, 301, b"", location=f"http://127.0.0.1:{self.port}{target}")
        if mode == "relative":
            return send(h, 307, b"", location=f"../releases/nixos-{version}/{name}")
        if mode == "plain-file":
            return send(h, 200, self.images[OLD])
        if mode in ("404", "403", "503"):
            return send(h, int(mode), b"<html>no</html>")
        if mode == "silent":
            return self.gate.wait(30)
        if mode == "reset":
            return h.connection.close()
        if mode == "garbage":
            return h.wfile.write(b"220 ftp.example.org ready\r\n" * 100)
        return send(h, 301, b"", location=f"http{'s' if isinstance(h.connection, ssl.SSLSocket) else ''}://{h.headers['Host']}{target}")

    def count(self, mode):
        self.counts[mode] = self.counts.get(mode, 0) + 1
        return self.counts[mode]

    def checksum(self, h, mode, path):
        name = path.rsplit("/", 1)[1].removesuffix(".sha256")
        version = NEW if NEW in name or mode in ("changed", "changed-lied") else OLD
        sha = hashlib.sha256(self.images[version]).hexdigest()
        if mode == "hash-404":
            return send(h, 404, b"")
        if mode == "hash-of-another":
            return send(h, 200, f"{sha}  {name.replace(OLD, NEW)}\n".encode())
        if mode == "hash-wrong":
            sha = "0" * 64
        if mode == "hash-html":
            return send(h, 200, b"<html><body>Welcome to the hotel's wireless network</body></html>")
        return send(h, 200, f"{sha}  {name}".encode())

    def keys(self, h, mode):
        """Public keys, as forges give those of their users; `published` are the sound ones."""
        if mode == "404":
            return send(h, 404, b"Not Found")
        if mode == "403":
            return send(h, 403, b"")
        if mode == "html":
            return send(h, 200, b"<!doctype html>\n<html>Sign in</html>\n")
        if mode == "nobody":
            return send(h, 200, b"")
        if mode == "elsewhere":
            return send(h, 302, b"", location="/good/alice.keys")
        if mode == "downgrade":
            return send(h, 302, b"", location=f"http://127.0.0.1:{self.port}/good/alice.keys")
        if mode == "circle":
            return send(h, 302, b"", location=h.path)
        if mode == "cut":
            return send(h, 200, self.published * 2, cut=len(self.published))
        if mode == "silent":
            return self.gate.wait(30)
        if mode in ("endless", "drip"):
            h.send_response(200)
            h.end_headers()
            for _ in range(1 << 20):
                h.wfile.write(b"#" * 65535 + b"\n" if mode == "endless" else b"#")
                h.wfile.flush()
                if mode == "drip" and self.gate.wait(1):
                    return None
            return None
        if mode == "private":
            return send(h, 200, b"-----BEGIN OPENSSH " + b"PRIVATE KEY-----\nc2VjcmV0\n")
        return send(h, 200, self.published)

    def image(self, h, mode, path):
        body = self.images[NEW if NEW in path or mode == "newer-image" else OLD][:len(self.images[OLD]) if mode == "newer-image" else None]
        body += b"x" * mode.startswith("larger")
        third = len(body) // 3
        start = re.match(r"bytes=(\d+)-$", h.headers.get("Range", ""))
        start = int(start[1]) if start else 0
        if mode == "image-404":
            return send(h, 404, b"")
        if mode == "downgrade-image":
            return send(h, 302, b"", location=f"http://127.0.0.1:{self.port}{path}")
        if mode == "image-circle":
            return send(h, 302, b"", location=h.path)
        if mode == "cut":  # knows no ranges and never gives all
            return send(h, 200, body, cut=third, etag='"a"')
        if mode == "cut-ranges":  # a third at a time
            return ranged(h, body, start, '"a"', cut=third)
        if mode == "cut-once":
            return ranged(h, body, start, '"a"', cut=third if self.count(mode) == 1 else None)
        if mode in ("weak", "no-validator"):
            return ranged(h, body, start, 'W/"a"' if mode == "weak" else None, cut=third if self.count(mode) == 1 else None)
        if mode == "date":
            return ranged(h, body, start, "Wed, 01 Oct 2025 07:28:00 GMT", cut=third if self.count(mode) == 1 else None)
        if mode in ("changed", "changed-lied"):  # another file from the second request on
            if self.count(mode) == 1:
                return ranged(h, body, 0, '"a"', cut=third)
            validator = '"b"' if mode == "changed" else h.headers.get("If-Range")
            return ranged(h, self.images[NEW], start, validator)
        if mode == "wrong-range":
            return send(h, 206, body, cut=third, content_range=f"bytes 7-{len(body) - 1}/{len(body)}") if start else ranged(h, body, 0, '"a"', cut=third)
        if mode == "416":
            return send(h, 416, b"", content_range=f"bytes */{len(body)}") if start else ranged(h, body, 0, '"a"', cut=third if self.count(mode) == 1 else None)
        if mode == "stall":
            return send(h, 200, body, cut=third, etag='"a"', wait=self.gate)
        if mode == "slow":
            return ranged(h, body, start, '"a"', cut=third, wait=self.gate)
        if mode in ("chunked", "larger-chunked"):
            h.send_response(200)
            h.send_header("Transfer-Encoding", "chunked")
            h.end_headers()
            for at in range(0, len(body), 100_000):
                piece = body[at:at + 100_000]
                h.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            return h.wfile.write(b"0\r\n\r\n")
        return ranged(h, body, start, '"a"')


def ranged(h, body, start, validator, cut=None, wait=None):
    """Gives what is asked for by `Range`, if `If-Range` is right (RFC 9110 §13.1.5)."""
    header = {"etag" if '"' in validator else "last_modified": validator} if validator else {}
    if start and h.headers.get("If-Range") in (None, validator):
        return send(h, 206, body[start:], cut=cut, wait=wait, content_range=f"bytes {start}-{len(body) - 1}/{len(body)}", **header)
    return send(h, 200, body, cut=cut, wait=wait, **header)


def send(h, status, body, cut=None, wait=None, **headers):
    h.send_response(status)
    h.send_header("Content-Length", str(len(body)))
    for name, value in headers.items():
        h.send_header(name.replace("_", "-"), value)
    h.send_header("Connection", "close")
    h.end_headers()
    h.wfile.write(body[:cut])
    h.wfile.flush()
    if wait:
        wait.wait(30)


class Tunnel:
    """A proxy that knows CONNECT; with a status it refuses. `log` has what it was asked for."""

    def __init__(self, refuse=None):
        self.log, self.refuse = [], refuse
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            client, _ = self.listener.accept()
            threading.Thread(target=self.connect, args=(client,), daemon=True).start()

    def connect(self, client):
        with client, contextlib.suppress(OSError):
            head = b""
            while b"\r\n\r\n" not in head:
                head += client.recv(4096)
            self.log.append(head.decode())
            if self.refuse:
                client.sendall(f"HTTP/1.1 {self.refuse}\r\nContent-Length: 0\r\n\r\n".encode())
                return
            host, port = head.split()[1].decode().rsplit(":", 1)
            with socket.create_connection((host, int(port))) as server:
                client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
                back = threading.Thread(target=pump, args=(server, client), daemon=True)
                back.start()
                pump(client, server)
                back.join(5)


def pump(source, target):
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
