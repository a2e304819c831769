# SPDX-License-Identifier: Apache-2.0
# cmake -D FROM=page.html -D TO=page.c -P embed.cmake: a file as an array of bytes.
file(READ ${FROM} bytes HEX)
string(LENGTH "${bytes}" digits)
math(EXPR count "${digits} / 2")
string(REGEX REPLACE "(..)" "0x\\1," bytes "${bytes}")
file(WRITE ${TO} "#include \"status/page.h\"\nconst unsigned char muster_status_page[] = {${bytes}0};\nconst size_t muster_status_page_bytes = ${count};\n")
