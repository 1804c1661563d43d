# SPDX-License-Identifier: Apache-2.0
# Copyright The retether authors
# Turns the text files PARTS into the C file OUT with their content, end to end, as `rt_store_functions_lua`, one
# source line a line. In the place of each @NAME@ stands the number that one of the HEADERS gives it: that of a macro, or
# of an enumerator, counted from 0. In the place of @version@ stands a digest of the code, numbers included, without
# comments and line breaks: other code has another one, and the same code the same. No string of it may have "--" in it.
cmake_minimum_required(VERSION 3.25) # as CMakeLists.txt: else @version@ would be a variable here
set(text "")
foreach(part ${PARTS})
  file(READ ${part} content)
  string(APPEND text "${content}")
endforeach()

set(c "")
foreach(header ${HEADERS})
  file(READ ${header} content)
  string(REPLACE ";" "\n" content "${content}") # a list's separator here
  string(REGEX REPLACE "/\\*([^*]|\\*+[^*/])*\\*+/" "" content "${content}")
  string(APPEND c "${content}")
endforeach()
string(REGEX MATCHALL "enum [a-z_]+ {[^}]*}" enums "${c}")

function(number name out)
  if(c MATCHES "#define ${name} ([^\n]+)")
    string(REGEX REPLACE "U?INT64_C" "" value "${CMAKE_MATCH_1}")
    math(EXPR value "${value}")
    set(${out} ${value} PARENT_SCOPE)
    return()
  endif()
  foreach(enum ${enums})
    string(REGEX MATCHALL "[A-Z][A-Z0-9_]*( *=)?" members "${enum}")
    list(FIND members ${name} at)
    if(at GREATER -1 AND NOT enum MATCHES "=")
      set(${out} ${at} PARENT_SCOPE)
      return()
    endif()
  endforeach()
  message(FATAL_ERROR "${name}: no header has a number for it")
endfunction()

string(REGEX MATCHALL "@[A-Z0-9_]+@" marks "${text}")
list(REMOVE_DUPLICATES marks)
foreach(mark ${marks})
  string(REPLACE "@" "" name ${mark})
  number(${name} value)
  string(REPLACE ${mark} ${value} text "${text}")
endforeach()

string(REGEX REPLACE "--[^\n]*" "" code "${text}")
string(REGEX REPLACE "[ \n]+" " " code "${code}")
string(SHA256 version "${code}")
string(SUBSTRING ${version} 0 8 version)
string(REPLACE "@version@" ${version} text "${text}")

string(REPLACE "\\" "\\\\" text "${text}")
string(REPLACE "\"" "\\\"" text "${text}")
string(REPLACE "\n" "\\n\"\n    \"" text "${text}")
file(WRITE ${OUT} "#include \"migrate/store/functions.h\"\n\nconst char rt_store_functions_version[] = \"${version}\";\n"
     "const char rt_store_functions_lua[] =\n    \"${text}\";\n")
