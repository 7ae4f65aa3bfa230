"""What answers at the issuer's address and means ill: hostile_server.py CERT KEY TRICK [ADDRESS]. It holds the issuer's own
certificate, or one that nobody vouches for; no key of a statement."""
import socket
import ssl
import sys
import threading
import time

cert, key, trick = sys.argv[1:4]
address = sys.argv[4] if len(sys.argv) > 4 else "10.77.0.1"
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(cert, key)

OK = b"HTTP/1.1 200 OK\r\n"
EVENTS = OK + b"Content-Type: text/event-stream\r\n\r\n"
JSON = OK + b"Content-Type: application/json\r\nContent-Length: 1099511627776\r\n\r\n"


def forever(peer, piece, pause=0.0):
    while True:
        peer.sendall(piece)
        time.sleep(pause)


def answer(peer):
    if trick == "silent":
        # The handshake never begins.
        while peer.recv(4096):
            pass
        return
    peer = context.wrap_socket(peer, server_side=True)
    asked = b""
    while b"\r\n\r\n" not in asked:
        asked += peer.recv(4096)
    if trick == "slow":
        peer.sendall(OK)
        while True:
            for byte in b"X-Slow: loris\r\n":
                peer.sendall(bytes([byte]))
                time.sleep(1)
    if trick == "headers":
        peer.sendall(OK)
        forever(peer, b"X-More: " + b"x" * 1000 + b"\r\n")
    if trick == "endless" and b"/v1/stream" in asked:
        peer.sendall(EVENTS + b"event: state\r\ndata: ")
        forever(peer, b"a" * 65536)
    if trick == "noise" and b"/v1/stream" in asked:
        peer.sendall(EVENTS)
        forever(peer, b"event: state\ndata: {\"statement\":\"e30.e30.AAAA\"}\n\n: \n\nevent: new\ndata: []\n\n" * 100)
    peer.sendall(JSON + b'{"')
    forever(peer, b"a" * 65536)


def one(peer):
    try:
        answer(peer)
    except OSError:
        pass
    peer.close()


server = socket.create_server((address, 8443), backlog=64)
while True:
    threading.Thread(target=one, args=(server.accept()[0],), daemon=True).start()
