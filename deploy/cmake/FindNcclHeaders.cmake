# SPDX-License-Identifier: Apache-2.0
# The headers of NCCL and of the CUDA runtime, from which libmuster-nccl is built; the libraries themselves
# are loaded when a job asks for them. Looked for in the usual folders of a CUDA installation, among the NVIDIA
# wheels of the Python environment, and in the cache that `deploy/setup --nccl` fills.
#
#   NcclHeaders_FOUND, NcclHeaders_REASON (why not), NcclHeaders_VERSION, nccl_headers (interface target)
#   NCCL_INCLUDE_DIR, CUDA_RUNTIME_INCLUDE_DIR, CUDA_TARGET_INCLUDE_DIR: the places, may be given
include(CheckCSourceCompiles)

set(about "what deploy/setup --nccl unpacks the NVIDIA wheels into")
if(DEFINED ENV{XDG_CACHE_HOME})
  set(MUSTER_NVIDIA_CACHE $ENV{XDG_CACHE_HOME}/muster/nvidia CACHE PATH "${about}")
else()
  set(MUSTER_NVIDIA_CACHE $ENV{HOME}/.cache/muster/nvidia CACHE PATH "${about}")
endif()

find_program(NCCL_PYTHON python3)
mark_as_advanced(NCCL_PYTHON)
set(nccl_wheels)
if(NCCL_PYTHON)
  execute_process(OUTPUT_VARIABLE nccl_wheels ERROR_QUIET OUTPUT_STRIP_TRAILING_WHITESPACE
    COMMAND ${NCCL_PYTHON} -c
      "import sysconfig as s; print(';'.join({s.get_path(p) + '/nvidia' for p in ('purelib', 'platlib')}))")
endif()

set(nccl_folders $ENV{NCCL_HOME} $ENV{CUDA_HOME} $ENV{CUDA_PATH} /usr/local/cuda)
foreach(root ${nccl_wheels} ${MUSTER_NVIDIA_CACHE})
  list(APPEND nccl_folders ${root}/nccl ${root}/cu13 ${root}/cuda_runtime)
endforeach()
find_path(NCCL_INCLUDE_DIR nccl.h HINTS ${nccl_folders} PATH_SUFFIXES include)
find_path(CUDA_RUNTIME_INCLUDE_DIR cuda_runtime_api.h HINTS ${nccl_folders} PATH_SUFFIXES include)
# nccl.h includes cuda_fp16.h, and that one this; in CUDA 13 it lies in a folder of its own.
find_path(CUDA_TARGET_INCLUDE_DIR nv/target HINTS ${nccl_folders}
  PATH_SUFFIXES include/cccl include)

set(NcclHeaders_VERSION)
if(NCCL_INCLUDE_DIR)
  file(STRINGS ${NCCL_INCLUDE_DIR}/nccl.h lines REGEX "#define NCCL_(MAJOR|MINOR|PATCH) ")
  string(REGEX REPLACE "[^;]*NCCL_[A-Z]+ +([0-9]+)" "\\1" lines "${lines}")
  list(JOIN lines "." NcclHeaders_VERSION)
endif()

# All of them together, with this compiler: half a wheel is none.
if(NCCL_INCLUDE_DIR AND CUDA_RUNTIME_INCLUDE_DIR)
  set(nccl_include_dirs ${NCCL_INCLUDE_DIR} ${CUDA_RUNTIME_INCLUDE_DIR})
  if(CUDA_TARGET_INCLUDE_DIR)
    list(APPEND nccl_include_dirs ${CUDA_TARGET_INCLUDE_DIR})
  endif()
  set(CMAKE_REQUIRED_INCLUDES ${nccl_include_dirs})
  set(CMAKE_REQUIRED_QUIET ON)
  check_c_source_compiles(
    "#include <cuda_runtime_api.h>\n#include <nccl.h>\nint main(void) { return 0; }"
    NCCL_HEADERS_COMPILE)
  unset(CMAKE_REQUIRED_INCLUDES)
  unset(CMAKE_REQUIRED_QUIET)
  if(NOT NCCL_HEADERS_COMPILE)
    unset(NCCL_HEADERS_COMPILE CACHE) # the next run may find what is missing now
  endif()
endif()

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(NcclHeaders
  REQUIRED_VARS NCCL_INCLUDE_DIR CUDA_RUNTIME_INCLUDE_DIR NCCL_HEADERS_COMPILE
  VERSION_VAR NcclHeaders_VERSION)
if(NOT NCCL_INCLUDE_DIR)
  set(NcclHeaders_REASON "there is no nccl.h")
elseif(NcclHeaders_FIND_VERSION AND NcclHeaders_VERSION VERSION_LESS NcclHeaders_FIND_VERSION)
  set(NcclHeaders_REASON
    "nccl.h is of ${NcclHeaders_VERSION}, which is too old (${NCCL_INCLUDE_DIR})")
elseif(NOT CUDA_RUNTIME_INCLUDE_DIR)
  set(NcclHeaders_REASON "there is no cuda_runtime_api.h")
elseif(NOT NCCL_HEADERS_COMPILE)
  set(NcclHeaders_REASON "what was found does not compile (${nccl_include_dirs})")
endif()

if(NcclHeaders_FOUND AND NOT TARGET nccl_headers)
  add_library(nccl_headers INTERFACE)
  target_include_directories(nccl_headers SYSTEM INTERFACE ${nccl_include_dirs})
endif()
