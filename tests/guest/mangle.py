#!/usr/bin/python3 -B
# SPDX-License-Identifier: GPL-2.0
"""A man in the middle of two nodes, who damages one message on demand.

usage: mangle.py LISTEN-NAMESPACE LISTEN-IP CONNECT-NAMESPACE CONNECT-IP PORT CONTROL SEED

Listens in one network namespace, connects from another, passes everything on
message by message. The file CONTROL holds "MODE COUNT": the COUNT-th message
of the mode's kind from now on suffers; then CONTROL.done says what was done,
and everything passes again. Kinds are frames with operations, and
acknowledgements that say something new.
"""
import ctypes
import os
import random
import socket
import struct
import sys
import threading

NETNS = '/run/netns/'
CLONE_NEWNET = 0x40000000
ACK = struct.Struct('<IHHQ16sQQQ')


def crc32c(data):
    crc = 0xffffffff
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82f63b78 if crc & 1 else 0)
    return crc ^ 0xffffffff


def enter(name):
    fd = os.open(NETNS + name, os.O_RDONLY)
    if ctypes.CDLL(None, use_errno=True).setns(fd, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), 'setns')
    os.close(fd)


def receive(sock, count):
    data = b''
    while len(data) < count:
        more = sock.recv(min(count - len(data), 1 << 18))
        if not more:
            raise EOFError
        data += more
    return data


def message(sock):
    """One message: of the agents, a frame, or an acknowledgement."""
    magic = receive(sock, 4)
    if magic == b'RRPM':
        head = magic + receive(sock, 12)
        return 'agent', head + receive(sock, struct.unpack_from('<I', head, 8)[0])
    if magic == b'RRPF':
        head = magic + receive(sock, 508)
        size, ops = struct.unpack_from('<IH', head, 8)
        return ('frame' if ops else 'watermark'), head + receive(sock, size - 512)
    if magic == b'RRPA':
        return 'ack', magic + receive(sock, 60)
    raise ValueError(f'unknown message {magic!r}')


class Mangler:
    def __init__(self, control, seed):
        self.control = control
        self.random = random.Random(seed)
        self.lock = threading.Lock()
        self.stamp, self.mode, self.left = None, 'pass', 0
        self.last_ack = None

    def due(self, kind, data):
        """The mode if it is this message's turn."""
        with self.lock:
            try:
                stamp = os.stat(self.control).st_mtime_ns
            except OSError:
                return None
            if stamp != self.stamp:
                self.stamp = stamp
                with open(self.control, encoding='ascii') as f:
                    self.mode, count = f.read().split()
                self.left = int(count)
            if kind == 'ack':
                same, self.last_ack = data[32:56] == self.last_ack, data[32:56]
                if same:
                    return None
            if not self.mode.startswith(kind + '-'):
                return None
            self.left -= 1
            if self.left:
                return None
            mode, self.mode = self.mode, 'pass'
            return mode.split('-')[1]

    def flip(self, data, begin, end):
        bit = self.random.randrange(begin * 8, end * 8)
        out = bytearray(data)
        out[bit // 8] ^= 1 << bit % 8
        return bytes(out), f'bit {bit % 8} of byte {bit // 8}'

    def mangle(self, how, data, source):
        """What to send instead, a remark, whether to hang up then."""
        if how == 'cut':
            return data[:len(data) // 2], f'{len(data) // 2} of {len(data)} bytes', True
        if how == 'shorten':
            return data[:-32], f'all but 32 of {len(data)} bytes', False
        if how == 'double':
            return data + data, 'sent twice', False
        if how == 'swap':
            kind, other = message(source)
            while kind == 'watermark' or (kind == 'ack' and other[32:56] == data[32:56]):
                kind, other = message(source)
            return other + data, 'after its successor', False
        if how == 'head':
            # not the length, with which whoever sends waits for more
            return *self.flip(data, 16, 512), False
        if how == 'payload':
            return *self.flip(data, 512, len(data)), False
        if how == 'flip':
            return *self.flip(data, 16, 60), False
        if how == 'beyond':
            fields = list(ACK.unpack(data[:56]))
            fields[5] = fields[6] = fields[7] = fields[5] + (1 << 40)
            body = ACK.pack(*fields)
            return body + struct.pack('<II', crc32c(body), 0), 'claims too much', False
        raise ValueError(how)

    def report(self, text):
        with open(self.control + '.new', 'w', encoding='ascii') as f:
            f.write(text + '\n')
        os.rename(self.control + '.new', self.control + '.done')

    def pass_on(self, source, to):
        try:
            while True:
                kind, data = message(source)
                how = self.due(kind, data)
                if not how:
                    to.sendall(data)
                    continue
                data, remark, over = self.mangle(how, data, source)
                to.sendall(data)
                self.report(f'{kind} {how}: {remark}')
                if over:
                    break
        except (OSError, EOFError):
            pass
        except ValueError as e:
            print(f'# mangle: {e}', flush=True)
        for sock in (source, to):
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


def main():
    listen_ns, listen_ip, connect_ns, connect_ip, port, control, seed = sys.argv[1:]
    enter(listen_ns)
    listener = socket.create_server((listen_ip, int(port)))
    enter(connect_ns)
    mangler = Mangler(control, int(seed))
    while True:
        near, _ = listener.accept()
        try:
            far = socket.create_connection((connect_ip, int(port)), timeout=5)
        except OSError:
            near.close()
            continue
        far.settimeout(None)
        for sock in (near, far):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for a, b in ((near, far), (far, near)):
            threading.Thread(target=mangler.pass_on, args=(a, b), daemon=True).start()


main()
