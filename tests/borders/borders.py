#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks the borders between folders (table.py) and prints one line for each that is crossed.

    borders.py TREE        0: all kept; 1: some crossed
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile

import table

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)[>"]', re.MULTILINE)
COMMENT_OR_TEXT = re.compile(
    r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.DOTALL)
INCLUDE_FOLDERS = ["runtime/include", "runtime", "recovery", ""]
SKIPPED_FOLDERS = {".git", "build", "__pycache__"}


class Violation:
    def __init__(self, rule, path, line, text):
        self.rule, self.path, self.line, self.text = rule, path, line, text

    def __str__(self):
        place = f"{self.path}:{self.line}" if self.line else self.path
        return f"{place}: [{self.rule}] {self.text}"


def blank(match):
    """Spaces for a comment, an empty text for a text; lines stay where they are."""
    text = match.group(0)
    lines = "\n" * text.count("\n")
    return '""' + lines if text[0] in "\"'" else " " + lines


def without_comments(text):
    """Comments go, texts stay: an #include in a comment is none, and its name is a text."""
    return COMMENT_OR_TEXT.sub(lambda m: m.group(0) if m.group(0)[0] in "\"'" else blank(m), text)


def code_only(text):
    return COMMENT_OR_TEXT.sub(blank, text)


def line_of(text, position):
    return text.count("\n", 0, position) + 1


def is_inside(path, folders):
    return any(path == folder or path.startswith(folder + "/") for folder in folders)


def is_script(tree, path):
    if os.path.splitext(path)[1] or not os.access(os.path.join(tree, path), os.X_OK):
        return False
    with open(os.path.join(tree, path), "rb") as file:
        return file.read(2) == b"#!"


class Tree:
    def __init__(self, root):
        self.root = os.path.abspath(root)
        tracked = self.git_files("--cached")
        files = self.git_files("--cached", "--others", "--exclude-standard")
        self.files = sorted(files if files is not None else self.walk())
        # What a person keeps beside the sources in a working copy is not the tree's.
        self.tracked = sorted(tracked if tracked is not None else self.files)
        self.known = set(self.files)
        self.texts = {}

    def git_files(self, *options):
        """None where the tree is no repository, or git is not there."""
        if not os.path.exists(os.path.join(self.root, ".git")) or not shutil.which("git"):
            return None
        listed = subprocess.run(["git", "-c", "safe.directory=*", "ls-files", "-z", *options],
                                cwd=self.root, capture_output=True, check=False)
        if listed.returncode != 0:
            return None
        names = listed.stdout.decode().split("\0")
        return {name for name in names if name and os.path.isfile(os.path.join(self.root, name))}

    def walk(self):
        """Every file that is not a build's."""
        files = set()
        for folder, folders, names in os.walk(self.root):
            folders[:] = [name for name in folders if name not in SKIPPED_FOLDERS]
            files |= {os.path.relpath(os.path.join(folder, name), self.root) for name in names}
        return files

    def text(self, path):
        if path not in self.texts:
            with open(os.path.join(self.root, path), encoding="utf-8", errors="replace") as file:
                self.texts[path] = file.read()
        return self.texts[path]

    def c_files(self):
        return [path for path in self.files if path.endswith((".c", ".h"))]

    def sources(self):
        ends = (".c", ".h", ".py", ".sh", ".cmake", "CMakeLists.txt")
        return [path for path in self.files if path.endswith(ends) or is_script(self.root, path)]

    def resolve(self, path, name, quoted):
        """The file of the tree that an #include means, as the build's include folders find it."""
        folders = ([os.path.dirname(path)] if quoted else []) + INCLUDE_FOLDERS
        for folder in folders:
            candidate = os.path.normpath(os.path.join(folder, name))
            if candidate in self.known:
                return candidate
        return None

    def includes(self, path):
        """(line, name, quoted, file of the tree or None)"""
        text = without_comments(self.text(path))
        for match in INCLUDE.finditer(text):
            quoted = match.group(1) == '"'
            name = match.group(2)
            yield line_of(text, match.start()), name, quoted, self.resolve(path, name, quoted)


def check_folder_is_known(tree):
    for path in tree.c_files():
        folder = os.path.dirname(path)
        anywhere = table.MAY_INCLUDE_ALL + table.INSTALLED_ONLY
        if folder not in table.MAY_INCLUDE and not is_inside(path, anywhere):
            yield Violation("folder", path, 0, f"{folder or 'the top level'} is no folder of the "
                            "border table; move the file, or add the folder and its arrows to "
                            "tests/borders/table.py")


def check_arrows(tree):
    for path in tree.c_files():
        folder = os.path.dirname(path)
        if folder not in table.MAY_INCLUDE or is_inside(path, table.INSTALLED_ONLY):
            continue
        allowed = table.MAY_INCLUDE[folder] + [folder, table.PUBLIC]
        for line, name, quoted, target in tree.includes(path):
            if target is None:
                if quoted:
                    yield Violation("arrow", path, line, f'"{name}" is no file of the tree; name '
                                    "it from runtime/, recovery/ or the top level")
            elif target not in allowed and os.path.dirname(target) not in allowed:
                yield Violation("arrow", path, line, f"{folder} may not include {target}; it may "
                                f"include {', '.join(sorted(set(allowed)))}")


def check_confined_headers(tree):
    for path in tree.c_files():
        for line, name, _, target in tree.includes(path):
            for prefix, folders in table.CONFINED_HEADERS.items():
                if target is None and name.startswith(prefix) and not is_inside(path, folders):
                    yield Violation("confined", path, line, f"<{name}> may only be included in "
                                    f"{', '.join(folders)}")


def check_pure_headers(tree):
    for path in tree.c_files():
        folder = next((pure for pure in table.PURE if is_inside(path, [pure])), None)
        if folder is None:
            continue
        allowed = table.PURE_HEADERS | table.PURE_EXTRA_HEADERS.get(folder, set())
        for line, name, quoted, target in tree.includes(path):
            if target is None and not quoted and name not in allowed:
                yield Violation("pure-header", path, line, f"{folder} is pure (no clock, socket, "
                                f"thread or environment): <{name}> is not among the headers that "
                                "need none of them")


def words_in(text, words):
    """(line, word) of each call or use of a word as an identifier in the code."""
    code = code_only(text)
    code = re.sub(r"^[ \t]*#[ \t]*include[^\n]*", "", code, flags=re.MULTILINE)
    # A member (x->time, .send = ...) is another name.
    for match in re.finditer(r"(?<!->)(?<![\w.])(" + "|".join(words) + r")[ \t]*\(", code):
        yield line_of(code, match.start()), match.group(1)
    for match in re.finditer(r"(?<!->)(?<![\w.])(environ)\b", code):
        if "environ" in words:
            yield line_of(code, match.start()), match.group(1)


def check_pure_words(tree):
    for path in tree.c_files():
        if not is_inside(path, table.PURE):
            continue
        for line, word in words_in(tree.text(path), table.IMPURE_WORDS):
            if (path, word) not in table.IMPURE_WORDS_ALLOWED:
                yield Violation("pure-word", path, line, f"{word} in a pure folder; let the caller "
                                "do it and hand the result in")


def check_signal_handlers(tree):
    for path in tree.c_files():
        if is_inside(path, table.NO_SIGNAL_HANDLERS):
            for line, word in words_in(tree.text(path), table.SIGNAL_HANDLER_WORDS):
                yield Violation("signal", path, line, f"{word} in the library: handlers belong to "
                                "the program that uses it")


def check_installed_only(tree):
    for path in tree.c_files():
        if not is_inside(path, table.INSTALLED_ONLY):
            continue
        folder = os.path.dirname(path)
        for line, name, quoted, target in tree.includes(path):
            own = target is not None and os.path.dirname(target) == folder
            public = not quoted and name.startswith("muster/")
            foreign = not quoted and not is_libc(name) and not public
            if (quoted and not own) or foreign or (target and not own and not public):
                yield Violation("installed", path, line, f"{name}: an example is written as a user "
                                "would, with <muster/...>, libc, libm and its own folder only")


def is_libc(name):
    """C11, POSIX and Linux headers, as a bare libc6-dev has them."""
    known = {"assert.h", "complex.h", "fenv.h", "float.h", "iso646.h", "locale.h", "setjmp.h",
             "signal.h", "stdatomic.h", "tgmath.h", "threads.h", "time.h", "uchar.h", "wchar.h",
             "wctype.h", "fcntl.h", "getopt.h", "libgen.h", "poll.h", "pthread.h", "sched.h",
             "semaphore.h", "unistd.h", "dirent.h", "dlfcn.h", "fts.h", "spawn.h"}
    return name in known | table.PURE_HEADERS or name.startswith(("sys/", "linux/"))


def check_public_headers_alone(tree):
    headers = [path for path in tree.files if is_inside(path, [table.PUBLIC])
               and path.endswith(".h")]
    languages = [("C11", os.environ.get("CC", "cc"), "c", "-std=c11")]
    cxx = os.environ.get("CXX", "g++")
    if shutil.which(cxx):
        languages.append(("C++17", cxx, "c++", "-std=c++17"))
    else:
        print(f"note: no {cxx} here, so the public headers were not compiled as C++17")
    with tempfile.TemporaryDirectory() as place:
        for path in headers:
            name = os.path.relpath(path, "runtime/include")
            for language, compiler, kind, standard in languages:
                source = os.path.join(place, "alone." + ("c" if kind == "c" else "cc"))
                with open(source, "w", encoding="utf-8") as file:
                    file.write(f"#include <{name}>\n#include <{name}>\nint alone;\n")
                done = subprocess.run(
                    [compiler, "-x", kind, standard, "-fsyntax-only", "-Wall", "-Wextra",
                     "-Wpedantic", "-Werror", "-I", os.path.join(tree.root, "runtime/include"),
                     source], capture_output=True, text=True, check=False)
                if done.returncode != 0:
                    first = next((line for line in done.stderr.splitlines() if "error" in line),
                                 done.stderr.strip())
                    yield Violation("alone", path, 0, f"does not compile alone as {language}: "
                                    f"{first}")


def check_public_headers_use_libc_only(tree):
    for path in tree.c_files():
        if not is_inside(path, [table.PUBLIC]):
            continue
        for line, name, quoted, target in tree.includes(path):
            public = target is not None and is_inside(target, [table.PUBLIC])
            if (public and quoted) or (not public and name not in table.PURE_HEADERS):
                yield Violation("public", path, line, f"{name}: a public header includes "
                                "<muster/...> and headers of C only")


def check_top_level(tree):
    for name in sorted({path.split("/")[0] for path in tree.tracked}):
        if name not in table.TOP_LEVEL and not name.startswith("."):
            yield Violation("top-level", name, 0, "does not belong at the top of the tree; it holds "
                            f"{', '.join(sorted(table.TOP_LEVEL))} and dotfiles")


def check_length(tree):
    for path in tree.sources():
        lines = tree.text(path).count("\n")
        if lines > table.SOURCE_LINES_MAX:
            yield Violation("length", path, 0, f"{lines} lines, more than "
                            f"{table.SOURCE_LINES_MAX}: its second subject wants a file of its own")


def check_licence(tree):
    for path in tree.sources():
        if "SPDX-License-Identifier: Apache-2.0" not in "\n".join(
                tree.text(path).split("\n", 3)[:3]):
            yield Violation("licence", path, 0, "its first lines do not say "
                            "SPDX-License-Identifier: Apache-2.0")


def check_globs(tree):
    for path in tree.sources():
        if path.endswith((".cmake", "CMakeLists.txt")):
            code = re.sub(r"#[^\n]*", "", tree.text(path))
            for match in re.finditer(r"\bfile[ \t]*\([ \t\n]*GLOB", code):
                yield Violation("glob", path, line_of(code, match.start()),
                                "sources are listed, never globbed")


CHECKS = [
    check_folder_is_known, check_arrows, check_confined_headers, check_pure_headers,
    check_pure_words, check_signal_handlers, check_installed_only, check_public_headers_alone,
    check_public_headers_use_libc_only, check_top_level, check_length, check_licence, check_globs,
]


def violations_of(tree, checks=tuple(CHECKS)):
    return [violation for check in checks for violation in check(tree)]


def main(arguments):
    if len(arguments) != 1 or not os.path.isdir(arguments[0]):
        print(__doc__.strip(), file=sys.stderr)
        return 2
    tree = Tree(arguments[0])
    found = violations_of(tree)
    if not tree.c_files():
        print(f"borders: no C file under {arguments[0]}: is that the source tree?")
        return 1
    for violation in found:
        print(violation)
    print(f"borders: {len(tree.c_files())} C files, {len(CHECKS)} checks, {len(found)} violations")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
