# Headers, both libraries, the program, khonsu.pc and a CMake package.
include(CMakePackageConfigHelpers)

set(package_dir "${CMAKE_INSTALL_LIBDIR}/cmake/khonsu")

install(TARGETS khonsu EXPORT khonsu_targets)
install(FILES "${khonsu_static_archive}" DESTINATION "${CMAKE_INSTALL_LIBDIR}")
install(FILES include/khonsu.h DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}")
install(DIRECTORY include/khonsu DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}"
  FILES_MATCHING PATTERN "*.h")
# The libraries hold code of others, whose licences travel with it: lz4, zstd, and from Debian's
# packages Concurrency Kit and xxHash.
set(licences "${CMAKE_INSTALL_DATADIR}/doc/khonsu")
foreach(package IN ITEMS libck-dev libxxhash-dev)
  if(EXISTS "/usr/share/doc/${package}/copyright")
    install(FILES "/usr/share/doc/${package}/copyright" DESTINATION "${licences}"
      RENAME "LICENSE-${package}")
  endif()
endforeach()
install(FILES "${na_root}/subprojects/lz4-1.10.0/lib/LICENSE" DESTINATION "${licences}"
  RENAME LICENSE-lz4)
install(FILES "${na_root}/subprojects/zstd-1.5.6/LICENSE" DESTINATION "${licences}"
  RENAME LICENSE-zstd)
if(TARGET khonsu_program)
  install(TARGETS khonsu_program)
endif()
if(TARGET khonsu_workload_program)
  install(TARGETS khonsu_workload_program)
endif()

# Who links libkhonsu.a has to name what it needs.
set(khonsu_pc_rocksdb)
set(khonsu_config_rocksdb)
if(KHONSU_DURABLE)
  set(khonsu_pc_rocksdb "-lrocksdb")
  set(khonsu_config_rocksdb "${ROCKSDB_LIBRARY};")
endif()

# The prefix as seen from khonsu.pc, so that an installation can be moved.
file(RELATIVE_PATH khonsu_pc_up "/${CMAKE_INSTALL_LIBDIR}/pkgconfig" "/")
configure_file(cmake/khonsu.pc.in "${na_generated}/khonsu.pc" @ONLY)
install(FILES "${na_generated}/khonsu.pc" DESTINATION "${CMAKE_INSTALL_LIBDIR}/pkgconfig")

install(EXPORT khonsu_targets NAMESPACE khonsu:: DESTINATION "${package_dir}")
configure_package_config_file(cmake/khonsu-config.cmake.in "${na_generated}/khonsu-config.cmake"
  INSTALL_DESTINATION "${package_dir}"
  PATH_VARS CMAKE_INSTALL_INCLUDEDIR CMAKE_INSTALL_LIBDIR)
write_basic_package_version_file("${na_generated}/khonsu-config-version.cmake"
  COMPATIBILITY SameMinorVersion)
install(FILES "${na_generated}/khonsu-config.cmake" "${na_generated}/khonsu-config-version.cmake"
  DESTINATION "${package_dir}")
