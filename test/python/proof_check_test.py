"""tools/check_proof.py, which knows nothing of the library, believes every proof that the library
writes, and none in which anything was changed."""

import copy
import hashlib
import json
import os
import random
import struct
import subprocess
import sys
import tempfile
import unittest

import check_proof
from check_proof import Refused, check, load

MAKE = os.environ["KHONSU_PROOF_MAKE"]
PROGRAM = check_proof.__file__
TIMEOUT_S = 60
EPOCH_MS = 1700000000000


def make(*arguments):
    """The proofs' texts."""
    done = subprocess.run([MAKE, *map(str, arguments)], stdout=subprocess.PIPE, timeout=TIMEOUT_S,
                          check=True, text=True)
    return [text + "\n" for text in done.stdout.split("\n\n") if text]


def head_digest(text):
    return hashlib.sha256(b"\x02" + bytes.fromhex(text)).hexdigest()


def run(*arguments, text=None):
    return subprocess.run([sys.executable, PROGRAM, *arguments], input=text, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=TIMEOUT_S,
                          check=False)


class Sound(unittest.TestCase):
    def test_every_record_under_every_later_head(self):
        texts = make(24)
        records = {}
        for text in texts:
            proof = load(text)
            newest = proof["head"]["number"]
            self.assertEqual(proof["head"]["digest"], head_digest(proof["groups"][0]))
            lines = "\n".join(check(proof, bytes.fromhex(proof["head"]["digest"])))
            position = proof["record"]["position"]
            records.setdefault(newest, []).append(position)
            self.assertIn(f"record {position}: ", lines)
            self.assertIn(f"COMMIT, transaction 7:{position + 1}\n", lines)
            commit = ((EPOCH_MS + position) << 16) + 5
            self.assertIn(f"commit timestamp {commit}: 2023-11-14", lines)
            self.assertIn(f'put "put-{position}"\n  delete "gone-{position}"', lines)
            self.assertIn("as expected", lines)
            self.assertNotIn("TAKEN FROM THE FILE", lines)
        # Each head proves each record up to it, once.
        self.assertEqual(sorted(records), list(range(1, 25)))
        for newest, positions in records.items():
            count = sum(1 + group % 4 for group in range(1, newest + 1))
            self.assertEqual(sorted(positions), list(range(count)))

    def test_heads_grow_slowly(self):
        for group in (1, 2, 1000, 1023, 1024, 2047, 2900, 2999, 3000):
            for text in make(3000, group):
                proof = load(text)
                self.assertLessEqual(len(proof["groups"]), 12 * 13 // 2 + 1)
                check(proof)

    def test_database_and_timeline_when_a_head_names_them(self):
        named = 0
        for text in make(12, 3) + make(12, 12) + make(16, 16) + make(7, 7):
            proof = load(text)
            numbers = [struct.unpack_from("<Q", bytes.fromhex(head), 32)[0]
                       for head in proof["groups"]]
            lines = check(proof)
            is_named = any(number & (number - 1) == 0 for number in numbers)
            self.assertEqual(is_named, any("named by group" in line for line in lines))
            self.assertEqual(not is_named, any("as the file says" in line for line in lines))
            named += is_named
            for name in ("database", "timeline"):
                changed = dict(proof)
                changed[name] = "00" + proof[name][2:]
                if is_named:
                    self.assertRaises(Refused, check, changed)
                else:
                    check(changed)
        self.assertGreater(named, 0)


class Changed(unittest.TestCase):
    """A proof with one thing changed is refused, against the head that was expected before."""

    def setUp(self):
        # Of four records in group 7: a path of two, and the heads 13, 12, 8 and 7.
        self.proof = load(make(13, 7)[2])
        self.expected = bytes.fromhex(self.proof["head"]["digest"])
        self.assertEqual(len(self.proof["groups"]), 4)
        check(self.proof, self.expected)

    def refused(self, proof, why=""):
        with self.assertRaisesRegex(Refused, why):
            check(proof, self.expected)

    def with_record(self, **members):
        return {**self.proof, "record": {**self.proof["record"], **members}}

    def test_every_digit_of_every_head(self):
        for at, head in enumerate(self.proof["groups"]):
            for place in range(len(head)):
                other = "0" if head[place] != "0" else "8"
                heads = list(self.proof["groups"])
                heads[at] = head[:place] + other + head[place + 1:]
                self.refused({**self.proof, "groups": heads})

    def test_every_digit_of_frame_and_path(self):
        frame = self.proof["record"]["frame"]
        for place in range(len(frame)):
            other = "0" if frame[place] != "0" else "8"
            self.refused(self.with_record(frame=frame[:place] + other + frame[place + 1:]),
                         "another root")
        path = self.proof["record"]["path"]
        for at, text in enumerate(path):
            for place in range(len(text)):
                other = "0" if text[place] != "0" else "8"
                changed = list(path)
                changed[at] = text[:place] + other + text[place + 1:]
                self.refused(self.with_record(path=changed), "another root")

    def test_numbers(self):
        record = self.proof["record"]
        for name, bits in (("position", 64), ("index", 32), ("count", 32)):
            for other in (record[name] + 1, record[name] - 1, -1, (1 << bits) - 1, 1 << bits,
                          1 << 200, True, str(record[name]), float(record[name]), None):
                self.refused(self.with_record(**{name: other}))
        # Another place in the group, position and all.
        for index in (0, 1, 3):
            position = record["position"] + index - record["index"]
            self.refused(self.with_record(index=index, position=position), "another root")
        for other in (12, 14, 0, "13", None):
            self.refused({**self.proof, "head": {**self.proof["head"], "number": other}})
        for other in (0, 2, True, "1", None):
            self.refused({**self.proof, "khonsu_proof": other})

    def test_heads_that_are_left_out_doubled_or_exchanged(self):
        heads = self.proof["groups"]
        for at in range(len(heads)):
            self.refused({**self.proof, "groups": heads[:at] + heads[at + 1:]})
            self.refused({**self.proof, "groups": heads[:at] + heads[at:at + 1] + heads[at:]})
            for other in range(at):
                changed = list(heads)
                changed[at], changed[other] = heads[other], heads[at]
                self.refused({**self.proof, "groups": changed})
        self.refused({**self.proof, "groups": []}, "no head")
        self.refused({**self.proof, "groups": heads[:1] * 2})

    def test_paths_of_another_length(self):
        path = self.proof["record"]["path"]
        self.refused(self.with_record(path=path[:1]), "too short")
        self.refused(self.with_record(path=[]), "too short")
        self.refused(self.with_record(path=path + path[:1]), "too long")
        self.refused(self.with_record(path=path[::-1]), "another root")

    def test_a_proof_for_another_head(self):
        other = load(make(14, 7)[2])
        check(other, bytes.fromhex(other["head"]["digest"]))
        self.refused(other, "not the expected one")
        # Its digest replaced by the one that is wanted.
        other["head"]["digest"] = self.proof["head"]["digest"]
        self.refused(other, "another digest")

    def test_members_that_are_missing_or_of_another_type(self):
        for holder in ([], ["head"], ["record"]):
            inside = self.proof
            for name in holder:
                inside = inside[name]
            for name in inside:
                for other in (None, 1.5, [], {}, "zz", [1], True, "\u0661" * 64, "0 " * 64):
                    changed = copy.deepcopy(self.proof)
                    place = changed
                    for step in holder:
                        place = place[step]
                    place[name] = other
                    self.refused(changed)
                    del place[name]
                    self.refused(changed)
        for other in (None, [], 1, "text"):
            self.refused(other)

    def test_noise(self):
        """Whatever is done to the text, the answer is a refusal or the same proof."""
        text = make(13, 7)[2]
        same = check(self.proof, self.expected)
        seed = int(os.environ.get("KH_TEST_SEED", "1"))
        draw = random.Random(seed)
        for _ in range(3000):
            changed = bytearray(text.encode())
            for _ in range(draw.randint(1, 3)):
                at = draw.randrange(len(changed))
                how = draw.randrange(3)
                if how == 0:
                    changed[at] = draw.randrange(256)
                elif how == 1:
                    del changed[at:at + draw.randint(1, 40)]
                else:
                    changed[at:at] = changed[:draw.randint(1, 40)]
            try:
                lines = check(load(bytes(changed)), self.expected)
            except Refused:
                continue
            self.assertEqual(lines, same, f"seed {seed}")

    def test_doubled_names(self):
        text = json.dumps(self.proof)
        doubled = text.replace('"position":', '"position": 0, "position":', 1)
        self.assertRaisesRegex(Refused, "twice", load, doubled)


class Described(unittest.TestCase):
    """What is no record is shown as bytes, whatever the bytes are."""

    def test_frames_cut_off_and_noise(self):
        frame = bytes.fromhex(load(make(3, 3)[0])["record"]["frame"])
        whole = check_proof.describe(frame)
        self.assertEqual(len(whole), 4)
        for size in range(len(frame)):
            self.assertIn("cannot be read", check_proof.describe(frame[:size])[0])
        draw = random.Random(int(os.environ.get("KH_TEST_SEED", "1")))
        for _ in range(20000):
            changed = bytearray(frame)
            for _ in range(draw.randint(1, 4)):
                changed[draw.randrange(len(frame))] = draw.randrange(256)
            self.assertTrue(check_proof.describe(bytes(changed)))

    def test_keys_are_told_apart(self):
        keys = [b"a", b"0x61", b'"', b"\xff", b"\x00", "\u00e9".encode(), "\u202e".encode(), b"\\",
                b"\n", b"\x7f"]
        texts = [check_proof.key_text(key) for key in keys]
        self.assertEqual(len(set(texts)), len(keys))
        self.assertEqual(texts[:4], ['"a"', '"0x61"', '"\\""', "0xff"])
        for text in texts:
            self.assertTrue(text.isascii() and text.isprintable())


class Program(unittest.TestCase):
    def test_exit_codes(self):
        text = make(13, 7)[2]
        digest = load(text)["head"]["digest"]
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "proof.json")
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
            done = run("--expect", digest, path)
            self.assertEqual(done.returncode, 0, done.stdout)
            self.assertIn("as expected", done.stdout)
            self.assertTrue(done.stdout.endswith("the proof holds\n"))
            done = run("--expect", digest.upper(), path)
            self.assertEqual(done.returncode, 0, done.stdout)
            done = run(path)
            self.assertEqual(done.returncode, 0, done.stdout)
            self.assertIn("TAKEN FROM THE FILE", done.stdout)
            done = run("--expect", "0" * 64, path)
            self.assertEqual(done.returncode, 1)
            self.assertTrue(done.stdout.startswith("REFUSED: "))
            self.assertNotIn("the proof holds", done.stdout)
            self.assertEqual(run("--expect", "00", path).returncode, 2)
            self.assertEqual(run().returncode, 2)
            self.assertEqual(run(os.path.join(folder, "absent")).returncode, 1)

    def test_the_standard_input(self):
        self.assertEqual(run("-", text=make(2, 1)[0]).returncode, 0)
        for text in ("", "{", "[]", "[" * 100000, '{"khonsu_proof":1}'):
            done = run("-", text=text)
            self.assertEqual(done.returncode, 1, text)
            self.assertTrue(done.stdout.startswith("REFUSED: "), done.stdout)


if __name__ == "__main__":
    unittest.main()
