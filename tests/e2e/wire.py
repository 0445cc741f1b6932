"""A wire that cards of a guest are on: each sends its Ethernet frames by UDP, and machines at the other end answer ARP and
pings, with the VLAN tag that the question had. It keeps what it saw: no program of the guest says what a frame really had.
"""
import socket
import threading

OWN_MAC = bytes.fromhex("525400770001")
TAGGED, ARP, IPV4 = b"\x81\x00", b"\x08\x06", b"\x08\x00"
ICMP, ASKS = 1, 8


class Wire(threading.Thread):
    """Machines, each a VLAN's number (0 for none) and an address."""

    def __init__(self, machines):
        super().__init__(daemon=True)
        self.machines = {(vlan, socket.inet_aton(address)) for vlan, address in machines}
        self.end = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.end.bind(("127.0.0.1", 0))
        self.cards = {}
        self.seen = {}  # (MAC of the card, VLAN, sender's address): the most bytes of a packet
        self.start()

    def card(self, mac):
        """Arguments of QEMU for a card on this wire."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.cards[port] = mac
        name = f"wire{port}"
        return ["-netdev", f"socket,id={name},udp=127.0.0.1:{self.end.getsockname()[1]},localaddr=127.0.0.1:{port}",
                "-device", f"virtio-net-pci,netdev={name},mac={mac}"]

    def run(self):
        while True:
            frame, (_, port) = self.end.recvfrom(1 << 16)
            answer = self.answer(self.cards.get(port), frame)
            if answer:
                self.end.sendto(answer, ("127.0.0.1", port))

    def answer(self, card, frame):
        """What comes back for a frame, if somebody is there whom it is for."""
        tag, rest = (frame[12:16], frame[16:]) if frame[12:14] == TAGGED else (b"", frame[12:])
        vlan = int.from_bytes(tag[2:], "big") & 0xFFF
        kind, body = rest[:2], rest[2:]
        if kind == ARP and body[6:8] == b"\0\1" and (vlan, body[24:28]) in self.machines:
            found = body[:6] + b"\0\2" + OWN_MAC + body[24:28] + body[8:18]
        elif kind == IPV4 and len(body) >= 28:
            key = (card, vlan, socket.inet_ntoa(body[12:16]))
            self.seen[key] = max(self.seen.get(key, 0), int.from_bytes(body[2:4], "big"))
            if (vlan, body[16:20]) not in self.machines or body[9] != ICMP or body[20] != ASKS:
                return None
            # the type is 0 instead of 8, and the sum of the words as before
            total = int.from_bytes(body[22:24], "big") + (ASKS << 8)
            found = body[:12] + body[16:20] + body[12:16] + b"\0" + body[21:22] + (total % 0xFFFF).to_bytes(2, "big") + body[24:]
        else:
            return None
        return frame[6:12] + OWN_MAC + tag + kind + found
