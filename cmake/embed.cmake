# SPDX-License-Identifier: Apache-2.0
# Writes a C file that has another file's bytes, to go with the header that declares them:
#     cmake -DIN=page.html -DOUT=page.c -DNAME=page_html -DHEADER=client/router/page.h -P embed.cmake
file(READ ${IN} hex HEX)
string(LENGTH "${hex}" size)
math(EXPR size "${size} / 2")
string(REGEX REPLACE "(................................................)" "\\1\n" hex "${hex}")
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," hex "${hex}")
file(WRITE ${OUT} "#include \"${HEADER}\"\n\nconst unsigned char ${NAME}[] = {\n${hex}\n};\n"
    "const size_t ${NAME}_size = ${size};\n")
