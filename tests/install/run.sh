#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs the build into a fresh prefix and uses it from outside: through CMake, through pkg-config,
# after the whole tree was moved, each public header alone, and from C++.
set -euo pipefail

fail() {
  echo "install: $*" >&2
  exit 1
}

here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# A sanitized library wants a sanitized program; the dev and release builds cover this.
if grep -q '^MUSTER_SANITIZE:STRING=.' "$MUSTER_BUILD_DIR/CMakeCache.txt"; then
  echo "install: skipped: a sanitizer build is not what is installed"
  exit 77
fi

cmake --install "$MUSTER_BUILD_DIR" --prefix "$work/first" >"$work/install.log" 2>&1 ||
  { cat "$work/install.log" >&2; fail "cmake --install failed"; }
mv "$work/first" "$work/prefix" # nothing may depend on where it was installed
prefix=$work/prefix

[ -e "$prefix/share/licenses/muster/LICENSE" ] || fail "the licence is not installed"
[ -x "$prefix/bin/muster" ] || fail "the muster command is not installed"
"$prefix/bin/muster" --help >"$work/help" || fail "the installed muster command does not start"
library=$(find "$prefix" -name 'libmuster.so.0')
[ -n "$library" ] || fail "libmuster.so.0 is not installed"
libdir=$(dirname "$library")
[ -e "$libdir/libmuster-lttng.so.0" ] || fail "the trace provider is not installed"

# Where it was built, it is installed.
if [ -e "$MUSTER_BUILD_DIR/lib/libmuster-nccl.so.0" ]; then
  [ -e "$libdir/libmuster-nccl.so.0" ] || fail "the plug-in of the device plane is not installed"
fi

echo "install: through CMake"
cmake -S "$here/outside" -B "$work/cmake" -DCMAKE_PREFIX_PATH="$prefix" >"$work/cmake.log" 2>&1 &&
  cmake --build "$work/cmake" >>"$work/cmake.log" 2>&1 ||
  { cat "$work/cmake.log" >&2; fail "a CMake project outside does not build"; }
"$work/cmake/outside" || fail "the program built with CMake fails"

echo "install: through pkg-config"
export PKG_CONFIG_PATH=$libdir/pkgconfig
flags=$(pkg-config --cflags --libs muster) || fail "pkg-config does not find muster"
cc=${CC:-cc}
# shellcheck disable=SC2086 # flags are words
$cc -std=c11 -Wall -Wextra -Wpedantic -Werror "$here/outside/main.c" $flags -o "$work/outside"
LD_LIBRARY_PATH=$libdir "$work/outside" || fail "the program built with pkg-config fails"
[ "$(pkg-config --modversion muster)" = 0.1.0 ] || fail "pkg-config says another version"

echo "install: each header alone"
for header in "$prefix"/include/muster/*.h; do
  name=muster/$(basename "$header")
  printf "#include <%s>\nextern int alone;\n" "$name" >"$work/alone.c"
  $cc -std=c11 -Wall -Wextra -Wpedantic -Werror -I"$prefix/include" -fsyntax-only "$work/alone.c" ||
    fail "<$name> does not compile alone"
done

if command -v "${CXX:-g++}" >/dev/null; then
  echo "install: from C++"
  {
    echo '#include <muster/muster.h>'
    echo 'int main() { muster_error error; muster_error_init(&error);'
    echo '  return muster_version() == MUSTER_VERSION ? 0 : 1; }'
  } >"$work/plus.cc"
  # shellcheck disable=SC2086
  "${CXX:-g++}" -std=c++11 -Wall -Wextra -Werror "$work/plus.cc" $flags -o "$work/plus"
  LD_LIBRARY_PATH=$libdir "$work/plus" || fail "the C++ program fails"
else
  echo "install: no C++ compiler here, C++ not tried"
fi

# Only what <muster/*.h> declares is visible.
stray=$(nm -D --defined-only "$library" | awk '{print $3}' | grep -v '^muster_' || true)
[ -z "$stray" ] || fail "the library shows names that are not its own: $stray"
echo "install: good"
