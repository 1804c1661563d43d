# SPDX-License-Identifier: Apache-2.0
# Copyright The retether authors
# functions.lua IN as a later version may have it, OUT: each claim writes the field "next", "HOST EPOCH", too.
cmake_minimum_required(VERSION 3.25)
file(READ ${IN} text)
string(REPLACE "'bound', c.proof, 'lost', '0')" "'bound', c.proof, 'lost', '0', 'next', c.host .. ' ' .. c.ep)"
       next "${text}")
if(next STREQUAL text)
  message(FATAL_ERROR "${IN}: apply() is not as it was")
endif()
file(WRITE ${OUT} "${next}")
