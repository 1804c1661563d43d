# SPDX-License-Identifier: Apache-2.0
# Copyright The retether authors
# Turns the text files IN and REST into the C file OUT with their content, end to end, as `rt_store_functions_lua`, one
# source line a line.
file(READ ${IN} text)
file(READ ${REST} rest)
string(APPEND text "${rest}")
string(REPLACE "\\" "\\\\" text "${text}")
string(REPLACE "\"" "\\\"" text "${text}")
string(REPLACE "\n" "\\n\"\n    \"" text "${text}")
file(WRITE ${OUT} "#include \"migrate/store/functions.h\"\n\nconst char rt_store_functions_lua[] =\n    \"${text}\";\n")
