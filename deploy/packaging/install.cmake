# SPDX-License-Identifier: Apache-2.0
# What `cmake --install` puts where: the library, its headers, and how others find them. Included by the
# top CMakeLists.txt behind all targets. The muster command and the trace provider stand for themselves,
# in runtime/command and tracing/provider.
include(CMakePackageConfigHelpers)

set(MUSTER_PACKAGE_DIR ${CMAKE_INSTALL_LIBDIR}/cmake/muster)

if(TARGET muster_library)
  install(TARGETS muster_library EXPORT muster
    LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
  install(DIRECTORY ${PROJECT_SOURCE_DIR}/runtime/include/muster
    DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN "*.h")
  install(EXPORT muster FILE musterTargets.cmake NAMESPACE muster::
    DESTINATION ${MUSTER_PACKAGE_DIR})

  configure_package_config_file(${CMAKE_CURRENT_LIST_DIR}/musterConfig.cmake.in
    ${PROJECT_BINARY_DIR}/musterConfig.cmake INSTALL_DESTINATION ${MUSTER_PACKAGE_DIR})
  # Before 1.0 a minor version may change the interface.
  write_basic_package_version_file(${PROJECT_BINARY_DIR}/musterConfigVersion.cmake
    COMPATIBILITY SameMinorVersion)
  install(FILES ${PROJECT_BINARY_DIR}/musterConfig.cmake
    ${PROJECT_BINARY_DIR}/musterConfigVersion.cmake DESTINATION ${MUSTER_PACKAGE_DIR})

  # From the folder of muster.pc up to the prefix, so that an installed tree may be moved.
  file(RELATIVE_PATH MUSTER_PC_UP /prefix/${CMAKE_INSTALL_LIBDIR}/pkgconfig /prefix)
  string(REGEX REPLACE "/$" "" MUSTER_PC_UP "${MUSTER_PC_UP}")
  configure_file(${CMAKE_CURRENT_LIST_DIR}/muster.pc.in ${PROJECT_BINARY_DIR}/muster.pc @ONLY)
  install(FILES ${PROJECT_BINARY_DIR}/muster.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
endif()

install(FILES ${PROJECT_SOURCE_DIR}/LICENSE
  DESTINATION ${CMAKE_INSTALL_DATADIR}/licenses/muster)

# All that is installed and nothing else: `cmake --build --target muster_installed` before an install.
add_custom_target(muster_installed)
foreach(target muster_library muster_command muster-lttng muster-nccl)
  if(TARGET ${target})
    add_dependencies(muster_installed ${target})
  endif()
endforeach()
