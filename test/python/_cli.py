"""Running the program khonsu in tests."""

import fcntl
import os
import pty
import shutil
import struct
import subprocess
import tempfile
import termios
import unittest

import pyarrow
import pyarrow.ipc

BIN = os.environ["KHONSU_BIN"]
TIMEOUT_S = 60


def khonsu(*arguments, stdin=None, **options):
    """Runs it with pipes; the completed process, with bytes."""
    return subprocess.run([BIN, *arguments], input=stdin, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=TIMEOUT_S, check=False, **options)


def on_terminal(*arguments, columns=80):
    """Runs it on a pseudo-terminal; (exit code, what the terminal got)."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    process = subprocess.Popen([BIN, *arguments], stdin=slave, stdout=slave, stderr=slave)
    os.close(slave)
    shown = b""
    while True:
        try:
            part = os.read(master, 65536)
        except OSError:
            break
        if not part:
            break
        shown += part
    os.close(master)
    return process.wait(timeout=TIMEOUT_S), shown.decode()


def read_stream(data):
    return pyarrow.ipc.open_stream(data).read_all()


def write_file(path, table, **options):
    with pyarrow.ipc.new_file(path, table.schema) as writer:
        writer.write_table(table, **options)


class CliCase(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.folder)

    def path(self, name):
        return os.path.join(self.folder, name)

    def run_ok(self, *arguments, stdin=None):
        done = khonsu(*arguments, stdin=stdin)
        self.assertEqual(done.returncode, 0, done.stderr.decode())
        return done.stdout

    def run_wrong(self, code, *arguments, says=None, **options):
        """It fails with that exit code and one line on the standard error."""
        done = khonsu(*arguments, **options)
        message = done.stderr.decode()
        self.assertEqual(done.returncode, code, message)
        self.assertEqual(message.count("\n"), 1, message)
        self.assertTrue(message.startswith("khonsu: "), message)
        if says is not None:
            self.assertIn(says, message)
        return done
