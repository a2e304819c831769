# SPDX-License-Identifier: Apache-2.0
import json


class Events:
    """The events file of a run, as far as it is written."""

    def __init__(self, path):
        self.path = path
        self.offset = 0
        self.partial = b""
        self.notes = []

    def read(self):
        try:
            with open(self.path, "rb") as file:
                file.seek(self.offset)
                new = file.read()
        except OSError:
            return self.notes
        self.offset += len(new)
        lines = (self.partial + new).split(b"\n")
        self.partial = lines.pop()
        self.notes += [json.loads(line) for line in lines if line]
        return self.notes

    def of(self, kind):
        return [note for note in self.read() if note["kind"] == kind]

    def committed(self):
        return max([note["value"] for note in self.of("committed")], default=-1)
