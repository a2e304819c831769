# SPDX-License-Identifier: Apache-2.0
# How everything here is compiled. A leaf names its sources and its test; the rest is decided once, here.
include(GNUInstallDirs)

option(MUSTER_TESTS "build the tests" ON)
option(MUSTER_WERROR "treat warnings as errors" OFF)
set(MUSTER_SANITIZE "" CACHE STRING "address;undefined or thread, or empty")

set(CMAKE_C_STANDARD 11)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS OFF)
set(CMAKE_C_VISIBILITY_PRESET hidden)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE RelWithDebInfo)
endif()
# One place for binaries, so that tests and the development tree find them.
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/bin)
set(CMAKE_LIBRARY_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/lib)

find_package(Threads REQUIRED)
find_package(PkgConfig REQUIRED)
pkg_check_modules(ZMQ REQUIRED IMPORTED_TARGET libzmq>=4.3)
pkg_check_modules(JSON_C REQUIRED IMPORTED_TARGET json-c)
pkg_check_modules(MICROHTTPD IMPORTED_TARGET libmicrohttpd>=0.9.71)
pkg_check_modules(CURL IMPORTED_TARGET libcurl>=7.85)
set(MUSTER_HTTP_SIDE OFF)
if(MICROHTTPD_FOUND AND CURL_FOUND)
  set(MUSTER_HTTP_SIDE ON)
else()
  message(STATUS "libmicrohttpd or libcurl is missing: the coordinator is built without its HTTP side "
    "(status page, /metrics, muster status); install libmicrohttpd-dev and libcurl4-openssl-dev for it")
endif()
pkg_check_modules(LTTNG_UST REQUIRED IMPORTED_TARGET lttng-ust>=2.13)
pkg_check_modules(LTTNG_CTL REQUIRED IMPORTED_TARGET lttng-ctl>=2.13)
pkg_check_modules(BABELTRACE2 REQUIRED IMPORTED_TARGET babeltrace2)

add_library(muster_flags INTERFACE)
target_compile_definitions(muster_flags INTERFACE _GNU_SOURCE)
target_compile_options(muster_flags INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wconversion
  -Wno-sign-conversion -Wvla -Wundef -fno-common -fstack-protector-strong)
if(MUSTER_WERROR)
  target_compile_options(muster_flags INTERFACE -Werror)
endif()
if(MUSTER_SANITIZE)
  list(JOIN MUSTER_SANITIZE "," sanitize)
  target_compile_options(muster_flags INTERFACE -fsanitize=${sanitize} -fno-omit-frame-pointer
    -fno-sanitize-recover=all)
  target_link_options(muster_flags INTERFACE -fsanitize=${sanitize})
endif()
target_include_directories(muster_flags INTERFACE
  ${PROJECT_SOURCE_DIR}/runtime/include ${PROJECT_SOURCE_DIR}/runtime
  ${PROJECT_SOURCE_DIR}/recovery ${PROJECT_SOURCE_DIR})

# muster_part(NAME sources... [LINK targets...]): one folder as a static library of position
# independent code, linked into libmuster, into the command and into tests alike.
function(muster_part name)
  cmake_parse_arguments(part "" "" "LINK" ${ARGN})
  add_library(muster_${name} STATIC ${part_UNPARSED_ARGUMENTS})
  target_link_libraries(muster_${name} PUBLIC ${part_LINK} PRIVATE muster_flags)
endfunction()

# A test that runs so long hangs. No statement about speed: a sanitized test of 15 CPU seconds took 300 s on a
# machine with a load of 10 a core.
set(hang_s 400)

# muster_test(NAME sources... [LINK targets...] [LABELS labels...] [TIMEOUT s] [SERIAL]): a cmocka
# program that is one test of CTest.
function(muster_test name)
  cmake_parse_arguments(test "SERIAL" "TIMEOUT" "LINK;LABELS" ${ARGN})
  add_executable(test_${name} ${test_UNPARSED_ARGUMENTS})
  target_link_libraries(test_${name} PRIVATE ${test_LINK} cmocka muster_flags)
  add_test(NAME ${name} COMMAND test_${name})
  if(NOT test_TIMEOUT)
    set(test_TIMEOUT ${hang_s})
  endif()
  set_tests_properties(${name} PROPERTIES TIMEOUT ${test_TIMEOUT} LABELS "${test_LABELS}"
    RUN_SERIAL ${test_SERIAL})
endfunction()

# muster_test_again(NAME NEW_NAME VARIABLE=VALUE...): the program of test NAME once more, with another
# environment.
function(muster_test_again name new_name)
  get_test_property(${name} LABELS labels)
  add_test(NAME ${new_name} COMMAND test_${name})
  set_tests_properties(${new_name} PROPERTIES TIMEOUT ${hang_s} LABELS "${labels}" ENVIRONMENT "${ARGN}")
endfunction()

# muster_script_test(NAME script args... [LABELS ...] [TIMEOUT s] [SERIAL]): a script that is one
# test; it gets the build folder as MUSTER_BUILD_DIR and skips with exit code 77.
function(muster_script_test name)
  cmake_parse_arguments(test "SERIAL" "TIMEOUT" "LABELS" ${ARGN})
  add_test(NAME ${name} COMMAND ${test_UNPARSED_ARGUMENTS}
    WORKING_DIRECTORY ${CMAKE_CURRENT_SOURCE_DIR})
  if(NOT test_TIMEOUT)
    set(test_TIMEOUT ${hang_s})
  endif()
  set_tests_properties(${name} PROPERTIES TIMEOUT ${test_TIMEOUT} LABELS "${test_LABELS}"
    RUN_SERIAL ${test_SERIAL} SKIP_RETURN_CODE 77
    ENVIRONMENT "MUSTER_BUILD_DIR=${PROJECT_BINARY_DIR};MUSTER_SOURCE_DIR=${PROJECT_SOURCE_DIR}")
endfunction()
